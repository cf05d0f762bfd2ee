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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deepunlearn
from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError, DataError, DataWarning, DeepUnlearnError, Diverged, NotApplicable
from deepunlearn.testing.small import equal_states, state
from tests.networks import images, vit

CLASSES = 4
DOCS = Path(__file__).parent.parent / "docs" / "own-models.md"
QUICK = {
    "epochs": 1,
    "batch_size": 16,
    "warmup_epochs": 1,
    "retain_batch_size": 16,
    "forget_batch_size": 8,
    "samples": 8,
    "steps": 5,
    "fine_epochs": 1,
    "reset_epochs": 0,
}


RETAIN, FORGET, VAL = (images(count, 32, CLASSES, 0.25, seed) for count, seed in ((32, 1), (12, 2), (12, 3)))


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(num_classes=CLASSES)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 24), nn.ReLU(), nn.Linear(24, CLASSES))


MODELS = {"MobileNetV3": mobilenet, "ViT (timm)": vit, "MLP": mlp}


@cache
def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


METHODS = method_configs()


def quick(method: str) -> dict[str, Any]:
    space = METHODS[method].space
    chosen: dict[str, Any] = {name: QUICK[own] for name in space if (own := name.rpartition(".")[2]) in QUICK}
    if METHODS[method].needs == "difficulty":
        chosen["difficulty"] = range(len(FORGET[1]))
    special = {"ff": {"labels": "sampled"}, "scrub": {"rewind": False}}  # rewinding may go back to f_O itself
    return {**chosen, **special.get(method, {})}


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


def arguments(**changes: Any) -> dict[str, Any]:
    return {"retain": RETAIN, "forget": FORGET, "method": "srl", "epochs": 1, "batch_size": 16, **changes}


def unlearned(model: nn.Module | None = None, **changes: Any) -> dict[str, Tensor]:
    return state(deepunlearn.unlearn(model or built("MLP"), **arguments(**changes)))


def refusal(error: type[DeepUnlearnError], model: nn.Module | None = None, **changes: Any) -> DeepUnlearnError:
    """The error, which says what was given, what is allowed and what to do."""
    with pytest.raises(error) as caught:
        deepunlearn.unlearn(model or built("MLP"), **arguments(**changes))
    assert caught.value.given is not None and caught.value.allowed and caught.value.remedy
    return caught.value


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


# -------------------------------------------------------------------------------------------------- unusual models


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_a_wrapped_model_gives_the_network_inside(wrap: Callable[[nn.Module], nn.Module]) -> None:
    assert equal_states(unlearned(wrap(built("MLP"))), unlearned())


@pytest.mark.parametrize("method", sorted(name for name, method in METHODS.items() if method.needs is None))
def test_models_in_float64_stay_in_it(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(196, 4))
    result = deepunlearn.unlearn(
        model.double(),
        retain=RETAIN,
        forget=FORGET,
        val=VAL,
        method=method,
        parts={"blocks": ["0", "1"]},
        **quick(method),
    )
    assert {value.dtype for value in result.parameters()} == {torch.float64}


def test_masks_of_infinity_are_taken() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * self.mask.softmax(0)[0]

    unlearned(Masked())


def broken(name: str, value: float) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3 * 32 * 32), nn.Linear(3 * 32 * 32, CLASSES))
    with torch.no_grad():
        model.state_dict()[name].view(-1)[1] = value
    return model


@pytest.mark.parametrize(
    ("name", "value"), [("2.weight", torch.nan), ("2.bias", torch.inf), ("1.running_var", torch.nan)]
)
def test_weights_that_are_not_finite_are_named(name: str, value: float) -> None:
    error = refusal(ConfigError, broken(name, value))
    assert name in str(error.given) and "learning rate" not in str(error)


def test_logits_that_are_not_finite_are_shown() -> None:
    assert "logits" in refusal(ConfigError, broken("1.running_var", -1.0)).problem


def spread() -> nn.Module:
    model = mlp()
    model[3] = model[3].to("meta")
    return model


def normed() -> nn.Module:
    model = mlp()
    model[3] = nn.utils.weight_norm(model[3])
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no parameters": (nn.Flatten, "no parameters"),
    "no model": (lambda: mlp().state_dict(), "OrderedDict"),
    "half precision": (lambda: mlp().half(), "float16"),
    "bfloat16": (lambda: mlp().bfloat16(), "bfloat16"),
    "two types": (lambda: nn.Sequential(mlp(), nn.Linear(4, 4).double()), "float64"),
    "not initialised": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "1.weight"),
    "no values": (lambda: mlp().to("meta"), "meta"),
    "spread over devices": (spread, "cpu, meta"),
    "scripted": (lambda: torch.jit.script(mlp()), "script"),
    "cannot be copied": (normed, "parametrizations"),
    "other inputs": (lambda: nn.Linear(7, 4), "(2, 3, 32, 32)"),
    "one logit": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1)), "(2, 1)"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm", "ignore:.*torch.jit")
@pytest.mark.parametrize("case", REFUSED)
def test_models_that_cannot_be_unlearned_say_why(case: str) -> None:
    make, named = REFUSED[case]
    assert named in str(refusal(ConfigError, make()))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "0", None, True])
def test_seeds_are_whole_numbers(seed: Any) -> None:
    assert "seed" in str(refusal(ConfigError, seed=seed))


def test_cpu_kernels_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    sgd = torch.optim.SGD

    def noted(*given: Any, fused: bool, **options: Any) -> torch.optim.Optimizer:
        made.append(fused)
        return sgd(*given, fused=fused, **options)

    monkeypatch.setattr(torch.optim, "SGD", noted)
    with_them, without = unlearned(), unlearned(cpu_kernels="off")
    assert made == [True, False]
    for name, value in with_them.items():
        torch.testing.assert_close(without[name], value, msg=name)


def test_other_choices_of_cpu_kernels_are_refused() -> None:
    error = refusal(ConfigError, cpu_kernels="none")
    assert error.given == "none" and error.allowed == "auto, off"


def test_numbers_of_numpy_and_tensors_are_numbers() -> None:
    given = {"seed": np.int64(3), "epochs": np.int32(1), "batch_size": torch.tensor(16), "lr": np.float64(0.25)}
    assert equal_states(unlearned(**given), unlearned(seed=3, epochs=1, batch_size=16, lr=0.25))


def test_extra_state_of_modules_may_be_anything() -> None:
    class Counting(nn.Identity):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

        def set_extra_state(self, value: dict[str, int]) -> None: ...

    result = deepunlearn.unlearn(nn.Sequential(Counting(), mlp()), **arguments())
    assert result.state_dict()["0._extra_state"] == {"calls": 3}


@pytest.mark.parametrize("method", ["ga", "ft"])
def test_one_forget_sample_is_enough_where_nothing_trains_on_it_alone(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    given = arguments(method=method, forget=(FORGET[0][:1], FORGET[1][:1]))
    if method == "ft":
        deepunlearn.unlearn(model, **given)
        return
    with pytest.raises(NotApplicable, match="one sample") as caught:
        deepunlearn.unlearn(model, **given)
    assert "forget: 1" in str(caught.value.given)


FRESH: dict[str, tuple[Any, str]] = {
    "a module": (mlp(), "Sequential"),
    "nothing": (lambda: None, "NoneType"),
    "other sizes": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 7), nn.ReLU(), nn.Linear(7, 4)), "1.weight"),
    "the model itself": (lambda: built("MLP"), "equal"),
}


@pytest.mark.parametrize("case", FRESH)
def test_a_fresh_network_is_a_new_one_like_the_model(case: str) -> None:
    fresh, named = FRESH[case]
    before = [parameter.requires_grad for parameter in built("MLP").parameters()]
    assert named in str(refusal(ConfigError, method="bt", fresh=fresh).given)
    assert [parameter.requires_grad for parameter in built("MLP").parameters()] == before


def test_a_network_that_fresh_keeps_stays_as_it_is() -> None:
    kept = mlp()
    before = state(kept)
    results = [unlearned(method="bt", fresh=lambda: kept) for _ in range(2)]
    assert equal_states(*results) and equal_states(before, state(kept))
    assert all(parameter.requires_grad for parameter in kept.parameters())


def test_labels_out_of_range_are_counted() -> None:
    error = refusal(DataError, forget=(FORGET[0], FORGET[1] + 2))
    assert "6 of 12" in error.problem and error.given == "4, 5"


def test_data_for_validation_are_checked_too() -> None:
    assert "3 of 12" in refusal(DataError, val=(VAL[0], VAL[1] - 1)).problem


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
