"""Boundary shrink."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.adversarial import Pixels, fgsm
from deepunlearn.ops.labels import without
from deepunlearn.ops.optim import descend

BLOCK = 256  # samples attacked at a time; does not change the labels


class BoundaryShrink(Method):
    """Boundary shrink: give each forget sample to the class on the other side of the nearest decision boundary.

    x' = x + eps sign(grad_x CE(f_O(x), y)), one step in pixels of [0, 1], within them; the new label is the class
    other than y that f_O gives x' most of: its prediction, or the runner-up where that is still y. Then
    theta <- theta - lr * grad CE(f_theta; D_F with the new labels), SGD with momentum 0.9 at a constant rate.
    Source: Chen et al. 2023 (arXiv 2303.11570), section 3.2.
    Inputs that are no images, or a caller's own, move by eps in their own units, without bounds. Note `crossed`: the
    share of forget samples that one step takes over a boundary.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    eps: float

    def run(self, problem: Problem) -> Iterator[None]:
        nearest = problem.forget.with_labels(self._nearest(problem))
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(nearest, self.batch_size), [self.lr] * self.epochs)

    def _nearest(self, problem: Problem) -> Tensor:
        """int64 [|D_F|]: the class behind the boundary, for each forget sample in order."""
        labels, crossed = [], 0
        for x, y in problem.forget.blocks(BLOCK):
            attacked = fgsm(problem.original, x, y, self.eps, Pixels(problem))
            with torch.no_grad():
                logits = problem.original(attacked)
            labels.append(without(logits, y).argmax(1))
            crossed += int((logits.argmax(1) != y).sum())
        problem.notes["crossed"] = crossed / len(problem.forget)
        return torch.cat(labels)
