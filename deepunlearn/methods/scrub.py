"""SCRUB with rewinding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.distillation import kl
from deepunlearn.ops.optim import set_lr, steps_down, thirds

DECAY = 0.1


class Scrub(Method):
    """SCRUB: move away from the teacher on the forget set, stay with it on the retain set, then rewind.

    In epochs 1..E: if epoch <= msteps a pass over D_F that minimises -T^2 KL(f_O || f_theta; T), then a pass over D_R
    that minimises gamma CE + alpha T^2 KL(f_O || f_theta; T). SGD with momentum 0.9, rate x 0.1 once the epoch exceeds
    each of max(1, int(.5E)), int(.8E), int(.9E). Rewinding takes the state after the epoch (0: f_O) whose error on D_F
    is closest to the final model's error on those D_V samples whose class occurs in D_F.
    Source: Kurmanji et al. 2023 (arXiv 2302.09880), equation 3 and section 3.2 (SCRUB+R).
    Searched: lr, weight_decay, gamma, alpha, msteps, temperature, both batch sizes, epochs. Uses validation data; the
    evaluation that rewinding needs is part of the method. Deviation: the max in the first milestone keeps E = 1 at full
    rate.
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
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        away = problem.step(lambda x, _: -self._divergence(problem, x), optimizer)
        stay = problem.step(
            lambda x, y: self.gamma * problem.cross_entropy(x, y) + self.alpha * self._divergence(problem, x), optimizer
        )
        history = [self._snapshot(problem)] if self.rewind else []
        first, *later = thirds(self.epochs)
        rates = steps_down(self.lr, self.epochs, DECAY, [max(1, first), *later], start=1)
        for epoch, rate in enumerate(rates, start=1):
            set_lr(optimizer, rate)
            if epoch <= self.msteps:
                for batch in problem.batches(problem.forget, self.forget_batch_size):
                    away(*batch)
            for batch in problem.batches(problem.retain, self.retain_batch_size):
                stay(*batch)
            if self.rewind:
                history.append(self._snapshot(problem))
                if epoch == self.epochs:
                    self._rewind(problem, history)
            yield

    def _divergence(self, problem: Problem, x: Tensor) -> Tensor:
        with torch.no_grad():
            teacher = problem.original(x)
        return self.temperature**2 * kl(teacher, problem.model(x), self.temperature)

    def _snapshot(self, problem: Problem) -> tuple[float, dict[str, Tensor]]:
        """(error on the forget set, state) now."""
        state = {name: value.clone() for name, value in problem.model.state_dict().items()}
        return problem.error(problem.forget), state

    def _rewind(self, problem: Problem, history: list[tuple[float, dict[str, Tensor]]]) -> None:
        same_classes = torch.isin(problem.val.labels, problem.forget.labels.unique()).nonzero().flatten()
        wanted = problem.error(problem.val.subset(same_classes.cpu()))
        gaps = [abs(error - wanted) for error, _ in history]
        chosen = gaps.index(min(gaps))
        problem.model.load_state_dict(history[chosen][1])
        problem.notes["rewound_to"] = chosen
