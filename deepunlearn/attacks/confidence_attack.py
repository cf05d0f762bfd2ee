"""Confidence: members are the samples whose label has a high probability (Song and Mittal 2021, arXiv 2003.10595)."""

from __future__ import annotations

from deepunlearn.metrics.accuracy import Floats, Integers, losses


def membership(logits: Floats, labels: Integers) -> Floats:
    """log p_y of each sample, [N]: it ranks them as p_y does, also where p_y rounds to 1."""
    return -losses(logits, labels)
