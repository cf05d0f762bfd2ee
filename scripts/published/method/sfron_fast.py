"""SFRon as published code has it: with the slow weights switched off."""

from __future__ import annotations

from deepunlearn.methods.sfron import SaliencyForgetting


class WithoutSlowWeights(SaliencyForgetting):
    """SFRon with beta = 1, so that one sweep can have it beside SFRon with another beta.

    The average of algorithm 1 is then the new weights alone, and the method's implicit second-order term is gone.
    """
