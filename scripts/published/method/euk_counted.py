"""EU-k as published code has it where layers without parameters are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from deepunlearn.methods.base import Problem
from deepunlearn.methods.euk import ExactUnlearningK


@dataclass(frozen=True)
class Layers:
    """What stands in place of the blocks: single layers before the head, whether they have parameters or not."""

    blocks: tuple[nn.Module, ...]
    head: nn.Module
    hidden: tuple[nn.Module, ...] = ()


class ExactUnlearningCounted(ExactUnlearningK):
    """As EU-k, but the last k are single layers before the head, activations, pooling and normalisation among them.

    A block of the paper is many such layers, so far less is drawn anew: with k = 1 on a ResNet the pooling, which has
    nothing to draw, and the head. What is before them keeps what it learnt of D_F.
    """

    def run(self, problem: Problem) -> Iterator[None]:
        head = problem.anatomy.head
        layers = [one for one in problem.model.modules() if not list(one.children()) and one is not head]
        problem.anatomy = Layers(tuple(layers), head)  # type: ignore[assignment]
        yield from super().run(problem)
