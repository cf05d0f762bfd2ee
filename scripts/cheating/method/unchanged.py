"""A cheat: the original, unchanged."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem


class Unchanged(Method):
    """Nothing is done; the original is handed over as if it had unlearned."""

    def run(self, problem: Problem) -> Iterator[None]:
        yield
