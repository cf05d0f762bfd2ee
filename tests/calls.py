"""Calls of `deepunlearn.unlearn` on small models of others: the models, their data, and what comes back."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import deepunlearn
from deepunlearn.config import method_configs
from deepunlearn.core.errors import DeepUnlearnError
from deepunlearn.testing.small import state
from tests.networks import images, vit

CLASSES = 4
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
