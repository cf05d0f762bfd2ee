"""Inputs near given ones, measured in pixels where inputs are images, and those that a network mistakes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable

DOUBLINGS = 16  # of a radius of 0.04: past the diagonal of an image of 3 x 700 x 700
STRIDE = 0.1  # of a step, as a share of the radius
SMALLEST = 1e-30  # a norm to divide by where there is no gradient, so that nothing moves


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

    def between(self, x: Tensor, other: Tensor) -> Tensor:
        """other - x in pixels."""
        return other - x if self._std is None else (other - x) * self._std

    def gradient(self, of_x: Tensor) -> Tensor:
        """The gradient with respect to pixels, from that with respect to x."""
        return of_x if self._std is None else of_x / self._std

    def radii(self, x: Tensor, first: float) -> Iterator[float]:
        """`first`, twice that and so on, until it reaches across any image; DOUBLINGS times for what is none."""
        across = math.inf if self._std is None else math.sqrt(x[0].numel())
        for doubling in range(DOUBLINGS):
            yield first * 2**doubling
            if first * 2**doubling >= across:
                return


def check_real(x: Tensor) -> None:
    """Raises NotApplicable where the inputs x are whole numbers, which nothing lies between."""
    if not x.is_floating_point():
        raise NotApplicable(
            "this method moves inputs or makes noise like them, which takes real numbers",
            given=f"samples of type {x.dtype}",
            allowed="inputs of a floating-point type, such as images or rows of a table",
            remedy="choose another method: python -m deepunlearn.methods lists them",
        )


def input_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """d CE(model(x_i), y_i) / d x_i for each sample, like x. The network must be in evaluation mode.

    Raises NotApplicable where inputs are no real numbers, or the output has no gradient with respect to them.
    """
    check_real(x)
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


def pgd(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, pixels: Pixels) -> Tensor:
    """x moved at most `eps` (Euclidean) to where the loss at label y is high: projected gradient ascent.

    Each of `steps` steps goes STRIDE x eps along the gradient, then back into the ball around x and into the image.
    Source: Madry et al. 2018 (arXiv 1706.06083), for the Euclidean norm.
    """
    moved = x
    for _ in range(steps):
        uphill = pixels.gradient(input_gradient(model, moved, y))
        change = pixels.between(x, moved) + STRIDE * eps * uphill / _norms(uphill).clamp(min=SMALLEST)
        moved = pixels.moved(x, change * (eps / _norms(change).clamp(min=SMALLEST)).clamp(max=1.0))
    return moved


def nearest_mistakes(
    model: nn.Module, x: Tensor, eps: float, steps: int, pixels: Pixels
) -> tuple[Tensor, Tensor, Tensor]:
    """(found [N] bool, inputs [M, ...], labels [M]): near each x one that the network gives another label than x.

    The radius of the attack is `eps` at first, doubled until the prediction changes. M <= N are
    found before the radius is that of all images.
    """
    with torch.no_grad():
        before = model(x).argmax(1)
    inputs, labels, left = x.clone(), before.clone(), torch.arange(len(x), device=x.device)
    for radius in pixels.radii(x, eps):
        attacked = pgd(model, x[left], before[left], eps=radius, steps=steps, pixels=pixels)
        with torch.no_grad():
            predicted = model(attacked).argmax(1)
        changed = predicted != before[left]
        inputs[left[changed]], labels[left[changed]] = attacked[changed], predicted[changed]
        left = left[~changed]
        if not len(left):
            break
    found = labels != before
    return found, inputs[found], labels[found]


def _norms(values: Tensor) -> Tensor:
    """The Euclidean norm of each sample, [N, 1, ...]."""
    norms: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return norms.view(-1, *[1] * (values.dim() - 1))
