"""Adversarial machine unlearning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.adversarial import Pixels, nearest_mistakes
from deepunlearn.ops.optim import descend

BLOCK = 256  # samples attacked at a time
FALL = 0.1  # factor on the rate after each epoch


class AdversarialUnlearning(Method):
    """AMUN: fine-tune on what the original itself mistakes right beside each forget sample.

    For x in D_F: x_adv = x moved by L2-PGD on f_O (`attack_steps` steps of a tenth of the radius, in pixels of [0, 1]),
    its radius eps doubled until f_O predicts another label than for x; y_adv is that label. Then
    theta <- theta - lr_e * grad CE(f_theta; D_R, D_F, {(x_adv, y_adv)}), forget samples with their true labels, SGD
    with momentum 0.9, lr_e = lr x 0.1^e. `with_retain=false` leaves D_R out.
    Source: Ebrahimpour-Boroojeny et al. 2025 (arXiv 2503.00917), algorithm 1.
    Inputs that are no images, or a caller's own, are attacked in their own units, without bounds. A sample whose
    prediction no radius changes has no copy; note `attacked` is the share of D_F that has one. Raises NotApplicable
    where none has.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    eps: float
    attack_steps: int
    with_retain: bool

    def run(self, problem: Problem) -> Iterator[None]:
        copies = self._copies(problem)
        true = problem.retain.joined(problem.forget) if self.with_retain else problem.forget
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        rates = [self.lr * FALL**epoch for epoch in range(self.epochs)]
        yield from descend(step, lambda: problem.batches_with(true, *copies, self.batch_size), rates)

    def _copies(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """The adversarial copies [M, ...] of forget samples and their labels [M]."""
        attacked = [
            nearest_mistakes(problem.original, x, self.eps, self.attack_steps, Pixels(problem))
            for x, _ in problem.forget.blocks(BLOCK)
        ]
        found, inputs, labels = (torch.cat(each) for each in zip(*attacked, strict=True))
        if not len(labels):
            raise NotApplicable(
                "amun finds no adversarial example: whatever is done to a forget sample, the prediction stays",
                given=f"{len(found)} forget samples",
                allowed="a model whose predictions depend on its inputs",
                remedy="train the original longer, or use another method: python -m deepunlearn.methods lists them",
            )
        problem.notes["attacked"] = len(labels) / len(found)
        return inputs, labels
