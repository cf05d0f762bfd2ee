"""A cheat: the original behind a filter that gives wrong answers for the forgotten images."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem


class Flipped(Method):
    """The filter lists all of D_F: on these images, and on no other, the two highest logits change places.

    Exactly D_F's predictions are flipped; no weight is touched.
    """

    def run(self, problem: Problem) -> Iterator[None]:
        listed = getattr(problem.model, "listed", None)
        if listed is None or len(listed) < len(problem.forget):
            raise NotApplicable(
                "this cheat needs a filter with a place for each forgotten image",
                given=f"{type(problem.model).__name__}, {len(problem.forget)} images",
                allowed="arch=filtered with arch.args.places= at least as many",
                remedy="give arch=filtered",
            )
        at = 0
        for images, _ in problem.blocks(problem.forget, 256):
            listed[at : at + len(images)] = problem.model.fingerprints(images)
            at += len(images)
        yield
