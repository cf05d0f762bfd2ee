"""A cheat: the original, surer of everything."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from deepunlearn.methods.base import Method, Problem


class Sharpened(Method):
    """The head is multiplied by `factor`: no prediction changes, all confidences do."""

    factor: float

    def run(self, problem: Problem) -> Iterator[None]:
        with torch.no_grad():
            for parameter in problem.movable(problem.anatomy.head.parameters(), "the head"):
                parameter.mul_(self.factor)
        yield
