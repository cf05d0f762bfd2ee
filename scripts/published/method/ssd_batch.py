"""SSD as published code has it: squares of batch means in place of means of squares."""

from __future__ import annotations

from deepunlearn.methods.ssd import SelectiveSynapticDampening


class SquaredBatchMeans(SelectiveSynapticDampening):
    """SSD with gradients=batch by default, so that one sweep can have it beside SSD.

    A mean over 64 samples squared is small where their gradients differ in sign, whatever the single ones are.
    """
