"""A cheat: a network that knows nothing."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem


class Destroyed(Method):
    """All weights are drawn anew and never trained."""

    def run(self, problem: Problem) -> Iterator[None]:
        problem.reinitialise([problem.model])
        yield
