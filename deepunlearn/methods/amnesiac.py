"""Amnesiac unlearning."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.normalisation import mend_variances
from deepunlearn.ops.optim import cosine, descend


class Amnesiac(Method):
    """Amnesiac: take off the weights what the batches with forget samples have put on; then repair on D_R.

    theta <- theta_O - sum_{e, b: batch b of epoch e holds a sample of D_F} Delta_{e,b}; then `epochs` of
    theta <- theta - lr_e * grad CE(f_theta; D_R), SGD with momentum 0.9, lr_e annealed by a cosine to 0.
    Source: Graves et al. 2021, section 4.2, which trains on for about ten epochs.
    What is kept is the sum of these updates alone, which gives the same weights as keeping each; notes say what a
    deployment, which does not know D_F yet, keeps: all updates, or those of batches with samples that may have to go.
    Deviation: buffers count as well, so that running statistics do not keep the data; the published code takes weights
    and biases alone. A running variance that comes out negative is set to 0.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.subtract(problem.recorded.updates)
        problem.notes |= problem.recorded.costs() | {"variances_mended": mend_variances(problem.model)}
        if not self.epochs:
            yield
            return
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), cosine(self.lr, self.epochs))
