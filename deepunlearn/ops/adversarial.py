"""Inputs near given ones, measured in pixels where inputs are images, and those that a network mistakes."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable


class HasPixels(Protocol):
    """What a method's problem says of its inputs."""

    @property
    def pixel_std(self) -> Tensor | None: ...

    @property
    def pixel_bounds(self) -> tuple[Tensor, Tensor] | None: ...


class Pixels:
    """Changes of normalised inputs x, said in units of pixels in [0, 1]; in units of x where those are not known."""

    def __init__(self, problem: HasPixels) -> None:
        self._std, self._bounds = problem.pixel_std, problem.pixel_bounds

    def shifted(self, x: Tensor, change: Tensor) -> Tensor:
        """x with `change` (pixels) added, whatever comes out."""
        return x + (change if self._std is None else change / self._std)

    def moved(self, x: Tensor, change: Tensor) -> Tensor:
        """The same, but no pixel becomes darker than black or brighter than white."""
        moved = self.shifted(x, change)
        return moved if self._bounds is None else moved.clamp(*self._bounds)


def input_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """d CE(model(x_i), y_i) / d x_i for each sample, like x. The network must be in evaluation mode.

    Raises NotApplicable where the output does not depend on the input in a way that has a gradient.
    """
    seen = x.detach().requires_grad_()
    loss = F.cross_entropy(model(seen), y, reduction="sum")
    if not loss.requires_grad:
        raise NotApplicable(
            "the output of the model has no gradient with respect to its input",
            given="a model that cuts its input off, by torch.no_grad(), detach() or rounding",
            allowed="a model that is differentiable in its input",
            remedy="use a method without adversarial examples: python -m deepunlearn.methods lists them",
        )
    return torch.autograd.grad(loss, seen)[0]


def fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float, pixels: Pixels) -> Tensor:
    """x moved by `eps` in every pixel to where the loss at label y grows: one step of the fast gradient sign method.

    Source: Goodfellow et al. 2015 (arXiv 1412.6572).
    """
    return pixels.moved(x, eps * input_gradient(model, x, y).sign())
