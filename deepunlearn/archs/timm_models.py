"""Every image classifier of timm by its name, untrained."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from deepunlearn.archs.by_name import check_arguments, check_model


def build(classes: int, image_size: int, *, model: str, **arguments: Any) -> nn.Module:
    """`timm.create_model(model, **arguments)`; a network that is made for one size of images is made for this one."""
    check_model("timm", model, timm.list_models(), "timm.list_models()")
    check_arguments(arguments)
    config = timm.models.get_pretrained_cfg(model)
    size = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    network: nn.Module = timm.create_model(model, pretrained=False, num_classes=classes, **size, **arguments)
    return network
