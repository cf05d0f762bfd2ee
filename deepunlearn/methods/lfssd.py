"""Loss-free selective synaptic dampening."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.dampening import dampen_model
from deepunlearn.ops.gradient_powers import mean_over_samples
from deepunlearn.ops.per_sample import Params


class LossFreeDampening(Method):
    """LFSSD: selective synaptic dampening without labels.

    As SSD, with I_X = mean over the samples of X of |gradient of ||f(x)||^2|, f(x) the logits, at theta_O in evaluation
    mode: where I_F > alpha I_D, theta <- min(dampening I_D / I_F, 1) theta. `dampening` is the paper's lambda.
    alpha=auto takes the percentile of adaptive SSD.
    Source: Foster et al. 2024b (arXiv 2402.19308), section 3; Aljundi et al. 2018 (the importance).
    Deviation: alpha is auto by default, as with SSD; published are 3.5 for random forget sets, 5 to 10 for classes.
    """

    alpha: float | str
    dampening: float

    def run(self, problem: Problem) -> Iterator[None]:
        dampen_model(problem, partial(gradient_sizes, problem), self.alpha, self.dampening)
        yield


def gradient_sizes(problem: Problem, part: Part, weights: Params) -> Params:
    """The mean over samples of the absolute gradient of the squared norm of each sample's logits."""
    return mean_over_samples(problem.model, weights, partial(problem.blocks, part), squared_norm, 1)


def squared_norm(logits: Tensor, _: Tensor) -> Tensor:
    """||logits||^2; labels have no part in it."""
    return logits.square().sum()
