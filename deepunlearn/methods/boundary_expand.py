"""Boundary expand."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import descend


class BoundaryExpand(Method):
    """Boundary expand: make room for the forget set in a class of its own, then take that class away.

    The head gets an output more, K + 1 in all: its own weights as they are and one newly drawn row. With u = K for all
    of D_F: theta, row <- theta, row - lr * grad CE(f_{theta,row}; (x, u) for x in D_F), SGD with momentum 0.9 at a
    constant rate. At the end the row is dropped.
    Source: Chen et al. 2023 (arXiv 2303.11570), section 3.3.
    Deviation: a published copy keeps the row; the model then has a class that no dataset has.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        row = problem.row_beside_head()
        problem.model.train()

        def loss(x: Tensor, _: Tensor) -> Tensor:
            logits, features = problem.with_features(x)
            expanded = torch.cat([logits, row(features)], dim=1)
            return F.cross_entropy(expanded, torch.full((len(x),), logits.shape[1], device=x.device))

        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay, beside=row.parameters())
        rates = [self.lr] * self.epochs
        yield from descend(
            problem.step(loss, optimizer), lambda: problem.batches(problem.forget, self.batch_size), rates
        )
