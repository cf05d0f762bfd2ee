"""`deepunlearn.unlearn` on models that are not ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deepunlearn
from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError, DataError, DeepUnlearnError, NotApplicable
from deepunlearn.testing.small import equal_states, state

CLASSES = 4
DOCS = Path(__file__).parent.parent / "docs" / "own-models.md"
QUICK = {
    "epochs": 1,
    "batch_size": 16,
    "warmup_epochs": 1,
    "retain_batch_size": 16,
    "forget_batch_size": 8,
    "samples": 8,
    "fine_epochs": 1,
    "reset_epochs": 0,
}


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    return torch.rand(count, 3, 32, 32, generator=generator) + labels[:, None, None, None] / 4, labels


RETAIN, FORGET, VAL = data(32, 1), data(12, 2), data(12, 3)


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(num_classes=CLASSES)


def vit() -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=CLASSES
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 24), nn.ReLU(), nn.Linear(24, CLASSES))


MODELS = {"MobileNetV3": mobilenet, "ViT (timm)": vit, "MLP": mlp}


@cache
def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def quick(method: str) -> dict[str, Any]:
    space = method_configs()[method].space
    chosen = {name: value for name, value in QUICK.items() if name in space}
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
    lines += [
        f"| {name} | {' | '.join(outcome(model, name) for model in MODELS)} |" for name in sorted(method_configs())
    ]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_matrix_of_methods_and_models_is_the_one_in_the_docs() -> None:
    made = matrix()
    assert made in DOCS.read_text(encoding="utf-8"), f"put this table into {DOCS.name}:\n{made}"


def test_the_example_in_the_docs_runs() -> None:
    code = DOCS.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    assert isinstance(names["unlearned"], nn.Module) and names["unlearned"] is not names["model"]


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


def test_named_parts_are_used() -> None:
    model = built("MLP")
    with pytest.raises(ConfigError, match="blocks"):
        deepunlearn.unlearn(model, retain=RETAIN, forget=FORGET, method="cfk", epochs=1, batch_size=16)
    named = {"blocks": ["1"], "head": "3"}
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
