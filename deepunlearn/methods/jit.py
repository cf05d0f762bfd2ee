"""Just in time unlearning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.adversarial import Pixels, check_real
from deepunlearn.ops.optim import descend


class JustInTime(Method):
    """JiT: make the network flat around forget samples, so that nothing is special about them.

    theta <- theta - lr * grad sum_i mean_k ||f_theta(x_i) - f_theta(x_i + xi_ik)|| / ||xi_ik|| over batches of D_F
    alone, f the logits, xi_ik ~ N(0, sigma^2) `draws` times for each sample, in pixels of [0, 1]; plain SGD. No label
    and no retain sample is used. A constant network is a fixed point.
    Source: Foster et al. 2024 (arXiv 2402.01401), section 5.
    The published code clips noisy images, which shortens xi, and lets no gradient through f(x + xi); the paper does
    neither. Running statistics stay as they are (ours): noise would move them. Inputs that are no images, or a
    caller's own, get noise in their own units.
    """

    lr: float
    batch_size: int
    epochs: int
    sigma: float
    draws: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.eval()
        pixels = Pixels(problem)
        step = problem.step(lambda x, _: self._steepness(problem, pixels, x), problem.sgd(lr=self.lr, momentum=0.0))
        yield from descend(step, lambda: problem.batches(problem.forget, self.batch_size), [self.lr] * self.epochs)

    def _steepness(self, problem: Problem, pixels: Pixels, x: Tensor) -> Tensor:
        check_real(x)
        still, total = problem.model(x), torch.zeros((), device=x.device)
        for _ in range(self.draws):
            noise = self.sigma * torch.randn_like(x)
            noisy = checkpoint(problem.model, pixels.shifted(x, noise), use_reentrant=False)  # one draw in memory
            total = total + (distance(still - noisy) / distance(noise)).sum()
        return total / self.draws


def distance(difference: Tensor) -> Tensor:
    """The Euclidean norm of each sample, [N]; its gradient is 0 where it is 0."""
    norms: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return norms
