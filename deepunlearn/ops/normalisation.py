"""Normalisation layers, recognised by type."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)


def normalisation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that belong directly to a normalisation layer (batch, instance, layer, group, RMS)."""
    return [
        parameter
        for module in model.modules()
        if isinstance(module, NORMALISATIONS)
        for parameter in module.parameters(recurse=False)
    ]
