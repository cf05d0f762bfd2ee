"""Every image classifier of torchvision by its name, untrained."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models

from deepunlearn.archs.by_name import check_arguments, check_model

ALONE = {"aux_logits": False, "init_weights": True}  # no second head; initialised as published, without a warning
OWN = {"googlenet": ALONE, "inception_v3": ALONE}


def build(classes: int, image_size: int, *, model: str, **arguments: Any) -> nn.Module:
    """`torchvision.models.<model>(**arguments)`; transformers are built for images of this size."""
    check_model("torchvision", model, models.list_models(module=models), "torchvision.models.list_models()")
    check_arguments(arguments)
    given = {**OWN.get(model, {}), **_size(model, image_size), **arguments}
    network: nn.Module = models.get_model(model, weights=None, num_classes=classes, **given)
    return network


def _size(model: str, image_size: int) -> dict[str, Any]:
    if model.startswith("vit_"):
        return {"image_size": image_size}
    return {"input_size": (image_size, image_size)} if model.startswith("maxvit") else {}
