"""`deepunlearn.unlearn` on models that are not ours."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deepunlearn
from deepunlearn.core.errors import ConfigError, DataError, DataWarning, DeepUnlearnError, Diverged, NotApplicable
from deepunlearn.testing.small import equal_states, state
from tests.calls import CLASSES, FORGET, METHODS, MODELS, RETAIN, VAL, arguments, built, mlp, quick, refusal, unlearned
from tests.networks import vit

DOCS = Path(__file__).parent.parent / "docs" / "own-models.md"


def outcome(name: str, method: str) -> str:
    """`ran`, or the reason why the method refused this model."""
    before, model, random_state = state(built(name)), built(name), torch.get_rng_state()
    try:
        unlearned = deepunlearn.unlearn(model, retain=RETAIN, forget=FORGET, val=VAL, method=method, **quick(method))
    except DeepUnlearnError as error:
        return f"refused: {error.problem}"
    finally:
        assert equal_states(before, state(model)), "the user's model was changed"
        assert torch.equal(random_state, torch.get_rng_state())
    assert not equal_states(before, state(unlearned)), "a silent no-op"
    assert list(unlearned.state_dict()) == list(before)
    return "ran"


def matrix() -> str:
    """Methods x models as a Markdown table."""
    lines = [f"| method | {' | '.join(MODELS)} |", f"|---|{'---|' * len(MODELS)}"]
    lines += [f"| {name} | {' | '.join(outcome(model, name) for model in MODELS)} |" for name in sorted(METHODS)]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_matrix_of_methods_and_models_is_the_one_in_the_docs() -> None:
    made = matrix()
    assert made in DOCS.read_text(encoding="utf-8"), f"put this table into {DOCS.name}:\n{made}"


@pytest.mark.slow
def test_the_example_in_the_docs_runs() -> None:
    code = DOCS.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    assert isinstance(names["unlearned"], nn.Module) and names["unlearned"] is not names["model"]


def test_none_stands_for_the_default() -> None:
    assert equal_states(*(unlearned(method="ft", **rate) for rate in ({}, {"lr": None})))


def test_a_run_that_diverges_is_told_with_arguments_of_the_function() -> None:
    error = refusal(Diverged, method="ga", lr=1e30, epochs=3)
    assert "lr=" in str(error.remedy) and "train." not in str(error) and "params" not in str(error)


def test_datasets_loaders_and_tensors_say_the_same() -> None:
    model = built("MLP")
    as_dataset = [TensorDataset(*part) for part in (RETAIN, FORGET)]
    as_loader = [DataLoader(part, batch_size=5) for part in as_dataset]
    results = [
        state(deepunlearn.unlearn(model, retain=retain, forget=forget, method="srl", epochs=2, batch_size=16))
        for retain, forget in ((RETAIN, FORGET), as_dataset, as_loader)
    ]
    assert equal_states(results[0], results[1]) and equal_states(results[0], results[2])


def test_the_seed_decides() -> None:
    results = [
        state(
            deepunlearn.unlearn(built("MLP"), retain=RETAIN, forget=FORGET, method="ga", epochs=2, batch_size=4, seed=s)
        )
        for s in (1, 1, 2)
    ]
    assert equal_states(results[0], results[1]) and not equal_states(results[0], results[2])


# ------------------------------------------------------------------------------------------------- the caller's process


def test_shuffled_loaders_give_equal_models_and_leave_the_random_states() -> None:
    loaders = [DataLoader(TensorDataset(*part), batch_size=5, shuffle=True) for part in (RETAIN, FORGET)]
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    results = [unlearned(retain=loaders[0], forget=loaders[1]) for _ in range(2)]
    assert equal_states(*results) and equal_states(results[0], unlearned())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), str(np.random.get_state()))


class NumpyNoise(nn.Module):
    """Draws from numpy and Python in training."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (np.random.rand() + random.random() if self.training else 0.0)


def test_so_do_models_that_draw_from_numpy_and_python() -> None:
    model = nn.Sequential(NumpyNoise(), mlp())
    before = random.getstate(), str(np.random.get_state())
    results = [unlearned(model, method="ft", seed=seed) for seed in (1, 1, 2)]
    assert equal_states(*results[:2]) and not equal_states(*results[1:])
    assert before == (random.getstate(), str(np.random.get_state()))


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "another default device": lambda: torch.device("meta"),
    "float64 as default": lambda: default_dtype(torch.float64),
    "no_grad in autocast": lambda: stacked(torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad()),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


@contextmanager
def stacked(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def modes() -> list[Any]:
    """What the caller is in the middle of, and what holds for the whole process."""
    made = torch.rand(2, 2)
    return [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        (made @ made).dtype,
        made.device,
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        dict(os.environ),
        list(warnings.filters),
    ]


@pytest.mark.parametrize("method", ["scrub", "iu", "rni"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_it_does_the_same_wherever_it_is_called(context: str, method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    data = {
        name: (part[0][..., ::8, ::8], part[1]) for name, part in (("retain", RETAIN), ("forget", FORGET), ("val", VAL))
    }
    outside = deepunlearn.unlearn(model, **data, method=method, **quick(method))
    with CONTEXTS[context]():
        before = modes()
        inside = deepunlearn.unlearn(model, **data, method=method, **quick(method))
        assert modes() == before
        with pytest.raises(DataError):
            deepunlearn.unlearn(model, **{**data, "val": (VAL[0] / 0, VAL[1])}, method=method, **quick(method))
        assert modes() == before
    assert equal_states(state(outside), state(inside))
    inside(data["retain"][0]).sum().backward()


def test_models_and_data_made_in_inference_mode_are_taken() -> None:
    with torch.inference_mode():
        torch.manual_seed(0)
        model = mlp()
        model(RETAIN[0])
        result = deepunlearn.unlearn(model, **arguments(retain=[*zip(RETAIN[0] * 1, RETAIN[1] * 1, strict=True)]))
    result(RETAIN[0]).sum().backward()
    torch.manual_seed(0)
    assert equal_states(state(result), unlearned(mlp()))


PROCESS = """
import os, sys, warnings
import torch, torch._dynamo  # PyTorch sets a variable for itself
import deepunlearn.kernels.choice, deepunlearn.library
assert not [name for name in sys.modules if name.startswith("deepunlearn.methods.iu")]
def refused(*_): raise AssertionError("set for the whole process")
deepunlearn.kernels.choice.keep_freed_memory = torch.set_num_threads = refused
def everything():
    return list(warnings.filters), dict(os.environ), torch.get_num_threads(), torch.backends.cudnn.benchmark
model = torch.nn.Linear(4, 3)
data = lambda: (torch.rand(8, 4), torch.arange(8) % 3)
before = everything()
deepunlearn.unlearn(model, retain=data(), forget=data(), method="iu", samples=4)
assert everything() == before, everything()
"""


@pytest.mark.slow
def test_the_first_call_of_a_process_leaves_nothing_behind() -> None:
    subprocess.run([sys.executable, "-c", PROCESS], check=True)


def test_the_given_model_is_as_it_was() -> None:
    model = mlp().train()
    model[1].eval().requires_grad_(False)
    model(RETAIN[0]).sum().backward()
    gradient = model[3].weight.grad.clone()
    unlearned(model)
    assert [module.training for module in model] == [True, False, True, True]
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, False, True, True]
    assert torch.equal(model[3].weight.grad, gradient)


# -------------------------------------------------------------------------------------------------- shared samples


def test_samples_in_two_parts_are_told_with_their_number() -> None:
    both = torch.cat([RETAIN[0], FORGET[0][:5]]), torch.cat([RETAIN[1], FORGET[1][:5]])
    with pytest.warns(DataWarning) as warned:
        deepunlearn.unlearn(built("MLP"), **arguments(retain=both, val=FORGET))
    said = [str(one.message).split(" (")[0] for one in warned]
    assert said == [
        "5 of the 12 samples of forget are also in retain",
        "5 of the 12 samples of val are also in retain",
        "12 of the 12 samples of val are also in forget",
    ]
    assert {one.filename for one in warned} == {__file__}


def test_nothing_is_told_of_parts_that_share_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        unlearned(val=VAL)


def test_named_parts_are_used() -> None:
    model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, CLASSES))
    with pytest.raises(NotApplicable, match="blocks"):
        deepunlearn.unlearn(model, retain=RETAIN, forget=FORGET, method="cfk", epochs=1, batch_size=16)
    model, named = built("MLP"), {"blocks": ["1"], "head": "3"}
    unlearned = deepunlearn.unlearn(
        model, retain=RETAIN, forget=FORGET, method="cfk", epochs=1, batch_size=16, parts=named
    )
    assert not torch.equal(unlearned.get_parameter("1.weight"), model.get_parameter("1.weight"))


def test_a_fresh_network_can_be_given_where_layers_cannot_reset_themselves() -> None:
    arguments: dict[str, Any] = {"retain": RETAIN, "forget": FORGET, "method": "bt", "epochs": 1, "batch_size": 16}
    with pytest.raises(NotApplicable, match="pos_embed"):
        deepunlearn.unlearn(built("ViT (timm)"), **arguments)
    deepunlearn.unlearn(built("ViT (timm)"), fresh=vit, **arguments)


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"method": "nosuch"}, ConfigError, "nosuch"),
        ({"method": None}, ConfigError, "None"),
        ({"method": "ft", "lr": -1.0}, ConfigError, "ft.lr"),
        ({"method": "ft", "learning_rate": 0.1}, ConfigError, "learning_rate"),
        ({"method": "kde"}, ConfigError, "val"),
        ({"forget": ([1, 2], [0, 1])}, DataError, "forget"),
        ({"forget": (torch.rand(0, 3, 32, 32), torch.zeros(0, dtype=torch.int64))}, DataError, "forget"),
        ({"forget": (torch.rand(4, 3, 32, 32), torch.rand(4))}, DataError, "forget"),
        ({"forget": (torch.rand(4, 3, 16, 16), torch.zeros(4, dtype=torch.int64))}, DataError, "shapes"),
        ({"forget": (FORGET[0], FORGET[1] + 9)}, DataError, "label"),
        ({"parts": {"haed": "3"}}, ConfigError, "haed"),
        ({"method": "rni", "parts": {"head": "nosuch"}}, ConfigError, "nosuch"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    arguments = {"retain": RETAIN, "forget": FORGET, "method": "ft", **changes}
    with pytest.raises(error, match=named):
        deepunlearn.unlearn(built("MLP"), **arguments)


# ------------------------------------------------------------------------------------- how hard samples are to learn


def refined(**changed: Any) -> nn.Module:
    torch.manual_seed(0)
    given = {"retain": RETAIN, "forget": FORGET, **quick("rum"), **changed}
    return deepunlearn.unlearn(built("MLP"), method="rum", **given)


def test_scores_of_forget_samples_go_with_their_samples() -> None:
    order = torch.randperm(len(FORGET[1]), generator=torch.Generator().manual_seed(1))
    scores = torch.linspace(0, 1, len(order))
    first = refined(difficulty=scores)
    again = refined(forget=(FORGET[0][order], FORGET[1][order]), difficulty=scores[order].tolist())
    other = refined(difficulty=scores.numpy()[::-1])
    assert equal_states(state(first), state(again)) and not equal_states(state(first), state(other))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"difficulty": None}, "goes by how hard forget samples are"),
        ({"difficulty": [0.5]}, "one number for each forget sample"),
        ({"difficulty": [math.nan] * 12}, "one number for each forget sample"),
        ({"difficulty": ["hard"] * 12}, "list that holds more than numbers"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refined(**given)


def test_scores_for_a_method_that_asks_for_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="difficulty is not asked for"):
        deepunlearn.unlearn(built("MLP"), retain=RETAIN, forget=FORGET, method="ft", difficulty=[0.0] * 12)
