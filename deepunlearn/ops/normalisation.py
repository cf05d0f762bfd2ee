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


def mend_variances(model: nn.Module) -> int:
    """Set running variances below 0 to 0, which no statistics have but sums of changes can; how many there were."""
    mended = 0
    for module in model.modules():
        variance = getattr(module, "running_var", None) if isinstance(module, _NormBase) else None
        if variance is not None:
            mended += int((variance < 0).sum())
            variance.clamp_(min=0)
    return mended
