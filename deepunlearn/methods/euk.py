"""Exact unlearning of the last k blocks."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.last_blocks import last_blocks, parameters_of, train_only
from deepunlearn.ops.optim import descend, steps_down, thirds


class ExactUnlearningK(Method):
    """EU-k: re-initialise the last k blocks and what lies behind them, train them anew, leave the rest as it is.

    CE on D_R, SGD with momentum 0.9 and weight decay; the rate is multiplied by `decay` once the epoch (from 0) exceeds
    each of int(.5E), int(.8E), int(.9E). Running statistics of those blocks start afresh too.
    Source: Goel et al. 2022 (arXiv 2201.06640), section 4.
    Deviations: no pull to the start, which is random here, so `weight_decay` is that of SGD; un-augmented data;
    unfrozen blocks in training mode. Escapes a weight mask: the re-initialisation.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    decay: float
    k: int

    def run(self, problem: Problem) -> Iterator[None]:
        modules = last_blocks(problem.anatomy, self.k)
        problem.reinitialise(modules)
        train_only(problem.model, modules)
        problem.train_only(parameters_of(modules))
        rates = steps_down(self.lr, self.epochs, self.decay, thirds(self.epochs))
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), rates)
