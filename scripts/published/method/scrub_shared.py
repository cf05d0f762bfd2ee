"""SCRUB as published code has it where teacher and student are one object."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Problem
from deepunlearn.methods.scrub import Scrub


class ScrubShared(Scrub):
    """As SCRUB, but the teacher is the student itself, not a copy of it.

    So it gives what the student gives, both divergences are 0, and fine-tuning with gamma CE is what is left: passes
    over D_F move no weight but by weight decay. The student's statistics see each batch twice. Layers that draw at
    random draw anew for the teacher, so that the divergences of networks with such layers are noise instead.
    """

    def run(self, problem: Problem) -> Iterator[None]:
        problem.original = problem.model
        yield from super().run(problem)
