"""The refined-unlearning meta-algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem

Step = Callable[[Problem], Iterator[None]]  # how a method runs


class Refined(Method):
    """RUM: the forget set in groups by memorisation, each unlearned by the method that suits it, one after the other.

    D_F is sorted by `problem.difficulty` and cut into as many groups S_1 .. S_K of equal size (up to one sample) as
    there are steps, the least memorised first; equal scores are ordered at random. Step i runs its method on the model
    of step i - 1 as the original, with S_i to forget and D without S_1 .. S_i to retain: what has its turn later is
    retained until then. A step without a method leaves its group as it is. Defaults: nothing, fine-tuning, SalUn.
    Source: Zhao et al. 2024 (arXiv 2406.01257), section 5; retain sets and order as in the published code.
    Deviations: the paper goes by memorisation, which takes many trainings, as `rum.bank` does here. By default it is
    the mean confidence of the original over its training. Groups are equal parts of any D_F; the paper puts together a
    D_F of the 1,000 samples each of lowest, highest and middle memorisation.
    Notes `0.difficulty`, `1.difficulty`, ..., the mean score of each group.
    """

    def __init__(self, steps: Sequence[Step | None]) -> None:
        super().__init__()
        self.steps = steps

    def run(self, problem: Problem) -> Iterator[None]:
        retain, forget, groups = problem.retain, problem.forget, self._groups(problem)
        for number, group in enumerate(groups):
            problem.notes[f"{number}.difficulty"] = float(problem.difficulty[group].mean())
        for number, (step, group) in enumerate(zip(self.steps, groups, strict=True)):
            later = torch.cat(groups[number + 1 :]) if number + 1 < len(groups) else group[:0]
            if step is not None:
                with problem.request(retain=retain.joined(forget.subset(later)), forget=forget.subset(group)):
                    yield from step(problem)

    def _groups(self, problem: Problem) -> list[Tensor]:
        """Positions in the forget set of each group's samples, in order. Raises NotApplicable for too few samples."""
        samples, groups = len(problem.forget), len(self.steps)
        if samples < groups:
            raise NotApplicable(
                "the forget set has fewer samples than rum makes groups of it",
                given=f"{samples} samples for {groups} steps",
                allowed="at least one sample for each step",
                remedy="forget more samples, or use another method",
            )
        order = torch.randperm(samples, generator=problem.generator)
        ranked = order[problem.difficulty[order].argsort(stable=True)]
        return [group.sort().values for group in ranked.tensor_split(groups)]
