"""Fisher forgetting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.gradient_powers import fisher_diagonal
from deepunlearn.ops.per_sample import parameters_of

FLOOR = 1e-8
CAP, HEAD_CAP = 1e3, 1e2
BOOST = 10.0  # of the head's and of one-dimensional tensors' variance


class FisherForgetting(Method):
    """FF: add noise where the retain set does not mind, by the inverse of its Fisher information.

    theta = theta_O + sqrt(v) n, n ~ N(0, 1), v = alpha min(1 / (F + 1e-8), 1e3) (head: 1e2), averaged over dimension 1
    for tensors of two or more dimensions, times 10 for the head and for one-dimensional tensors; F the diagonal Fisher
    information on D_R under the model's own predictions, from per-sample squared gradients; evaluation mode.
    Source: Golatkar et al. 2020 (arXiv 1911.04933); the noise rule is that of the benchmark's published code (the text
    speaks of the 4th root of the Fisher matrix).
    Deviations: per-sample gradients instead of batch means; a smaller default alpha (0.2 ruins every model); by
    default one label is drawn per sample (`labels=sampled`), an unbiased estimate of the expectation over all classes
    (`labels=expected`) at the price of one gradient per sample instead of one per class. One step, no epochs.
    """

    alpha: float
    labels: str

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.eval()
        free = {
            id(parameter) for parameter in problem.movable(problem.model.parameters(), "everything that gets noise")
        }
        named = {name: parameter for name, parameter in problem.model.named_parameters() if id(parameter) in free}
        fisher = fisher_diagonal(
            problem.model,
            parameters_of(problem.model, named),
            problem.retain.blocks,
            problem.classes,
            sampled=self.labels == "sampled",
        )
        head = {id(parameter) for parameter in problem.anatomy.head.parameters()}
        with torch.no_grad():
            for name, parameter in named.items():
                variance = noise_variance(fisher[name], id(parameter) in head, self.alpha)
                parameter.add_(variance.sqrt() * torch.randn_like(parameter))
        yield


def noise_variance(fisher: Tensor, is_head: bool, alpha: float) -> Tensor:
    """v of the class docstring for one tensor, broadcast to its shape."""
    variance = (1 / (fisher + FLOOR)).clamp(max=HEAD_CAP if is_head else CAP)
    if variance.dim() >= 2:
        variance = variance.mean(1, keepdim=True).expand_as(fisher)
    return alpha * variance * (BOOST if is_head or fisher.dim() == 1 else 1.0)
