"""SCRUB with rewinding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.core.errors import NotApplicable
from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.distillation import kl
from deepunlearn.ops.optim import set_lr, steps_down, thirds

DECAY = 0.1


class Scrub(Method):
    """SCRUB: move away from the teacher on the forget set, stay with it on the retain set, then rewind.

    In epochs 1..E: if epoch <= msteps a pass over D_F that minimises -T^2 KL(f_O || f_theta; T), then a pass over D_R
    that minimises gamma CE + alpha T^2 KL(f_O || f_theta; T). SGD with momentum 0.9, rate x 0.1 once the epoch exceeds
    each of int(.5E), int(.8E), int(.9E), all of them at least 1. Rewinding takes the state after the epoch (0: f_O)
    whose error on D_F is closest to the final model's error on those D_V samples whose class occurs in D_F.
    Source: Kurmanji et al. 2023 (arXiv 2302.09880), equation 3 and section 3.2 (SCRUB+R).
    Uses validation data; the evaluation that rewinding needs is part of the method. Deviation: milestones of at least
    1, which keep E = 1 at full rate. Raises NotApplicable where it is to rewind and no D_V sample has a class of D_F.
    """

    lr: float
    weight_decay: float
    gamma: float
    alpha: float
    msteps: int
    temperature: float
    retain_batch_size: int
    forget_batch_size: int
    epochs: int
    rewind: bool

    def run(self, problem: Problem) -> Iterator[None]:
        judges = self._judges(problem) if self.rewind else None
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        away = problem.step(lambda x, _: -self._divergence(problem, x, problem.model(x)), optimizer)
        stay = problem.step(lambda x, y: self._stay_loss(problem, x, y), optimizer)
        history = [self._snapshot(problem)] if judges else []
        rates = steps_down(
            self.lr, self.epochs, DECAY, [max(1, milestone) for milestone in thirds(self.epochs)], start=1
        )
        for epoch, rate in enumerate(rates, start=1):
            set_lr(optimizer, rate)
            if epoch <= self.msteps:
                for batch in problem.batches(problem.forget, self.forget_batch_size):
                    away(*batch)
            for batch in problem.batches(problem.retain, self.retain_batch_size):
                stay(*batch)
            if judges:
                history.append(self._snapshot(problem))
                if epoch == self.epochs:
                    self._rewind(problem, history, judges)
            yield

    def _stay_loss(self, problem: Problem, x: Tensor, y: Tensor) -> Tensor:
        logits = problem.model(x)  # once, as each pass in training mode would update the running statistics
        return self.gamma * F.cross_entropy(logits, y) + self.alpha * self._divergence(problem, x, logits)

    def _divergence(self, problem: Problem, x: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            teacher = problem.original(x)
        return self.temperature**2 * kl(teacher, logits, self.temperature)

    def _snapshot(self, problem: Problem) -> tuple[float, dict[str, Tensor]]:
        """(error on the forget set, state) now."""
        state = {name: value.clone() for name, value in problem.model.state_dict().items()}
        return problem.error(problem.forget), state

    def _judges(self, problem: Problem) -> Part:
        """The D_V samples whose class occurs in D_F."""
        same_classes = torch.isin(problem.val.labels, problem.forget.labels.unique()).nonzero().flatten()
        if not len(same_classes):
            raise NotApplicable(
                "SCRUB cannot rewind: no validation sample is of a class that occurs in the forget set",
                given=f"{len(problem.val)} validation samples",
                allowed="at least one of a class of the forget set",
                remedy="give validation samples of these classes, or use method.params.rewind=false",
            )
        return problem.val.subset(same_classes.cpu())

    def _rewind(self, problem: Problem, history: list[tuple[float, dict[str, Tensor]]], judges: Part) -> None:
        wanted = problem.error(judges)
        gaps = [abs(error - wanted) for error, _ in history]
        chosen = gaps.index(min(gaps))
        problem.model.load_state_dict(history[chosen][1])
        problem.notes["rewound_to"] = chosen
