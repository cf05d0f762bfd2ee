"""What measures of models and of the call are tried on: the made models of the contract."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from deepunlearn.metrics.added import Outputs
from deepunlearn.testing.made_models import MadeCall, MadeModels
from deepunlearn.testing.measure_contract import LABELS, ORIGINAL, RETRAINED

Logits = dict[str, Any]


def outputs(of: Logits, original: Logits = ORIGINAL, retrained: Logits = RETRAINED) -> Outputs:
    """Of a model with these logits, with all that a measure may ask for."""
    models = MadeModels(of, original, retrained, LABELS, 0)
    return Outputs(
        LABELS, 0, logits=of, original=original, retrained=retrained, models=models, call=MadeCall(of, LABELS)
    )


class OneOfEach(MadeModels):
    """Hands out the same networks again and again, so that what is done to one stays."""

    def __init__(self, of: Logits) -> None:
        super().__init__(of, ORIGINAL, RETRAINED, LABELS, 0)
        self.networks: dict[str, nn.Module] = {
            name: getattr(super(OneOfEach, self), name)() for name in ("unlearned", "original", "retrained")
        }

    def unlearned(self) -> nn.Module:
        return self.networks["unlearned"]

    def original(self) -> nn.Module:
        return self.networks["original"]

    def retrained(self) -> nn.Module:
        return self.networks["retrained"]


def on_the_same(of: Logits) -> tuple[Outputs, OneOfEach]:
    """Outputs whose networks are not fresh."""
    models = OneOfEach(of)
    return dataclasses.replace(outputs(of), models=models), models
