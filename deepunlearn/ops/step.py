"""One optimisation step: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from deepunlearn.core.errors import SMALLER_RATE, Diverged, NotApplicable


class Losses:
    """They add up on the device; nothing is copied to the host until `mean` asks."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0

    def add(self, loss: Tensor) -> None:
        self._total = loss if self._total is None else self._total + loss
        self._count += 1

    def mean(self) -> float:
        """The mean of those since the last call. Raises Diverged where it is not finite."""
        if self._total is None:
            return 0.0
        mean = float(self._total) / self._count
        self._total, self._count = None, 0
        if not torch.isfinite(torch.tensor(mean)):
            raise Diverged("the loss is not finite", given=mean, allowed="a finite mean loss", remedy=SMALLER_RATE)
        return mean


class Step:
    """Callable on a batch; `losses` of the batches may be kept longer than the step.

    loss: batch -> scalar tensor, evaluated under `autocast()`; adjust: changes gradients between backward and update.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        autocast: Callable[[], AbstractContextManager[Any]],
        adjust: Callable[[], None] | None = None,
    ) -> None:
        self.loss, self.optimizer, self.adjust = loss, optimizer, adjust
        self._autocast, self.losses = autocast, Losses()

    def __call__(self, *batch: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self.loss(*batch)
        if not loss.requires_grad:
            raise unused()
        loss.backward()
        if self.adjust is not None:
            self.adjust()
        self.optimizer.step()
        self.losses.add(loss.detach())

    def mean_loss(self) -> float:
        """The mean loss since the last call. Raises Diverged where it is not finite."""
        return self.losses.mean()


def gradients_of(loss: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """d `loss` / d `params`; zero for what the loss does not depend on."""
    if not loss.requires_grad:
        return [torch.zeros_like(parameter) for parameter in params]
    return list(torch.autograd.grad(loss, params, materialize_grads=True))


def unused() -> NotApplicable:
    """The error of a model in which nothing that may move has part in the outputs."""
    return NotApplicable(
        "the output of the model does not depend on any parameter that may be trained",
        given="all of them are frozen, without use, or cut off by torch.no_grad() or detach() in the model",
        allowed="at least one parameter with requires_grad on that the output depends on",
        remedy="unfreeze layers with requires_grad_(True), give train_frozen=True, or name other parts=",
    )
