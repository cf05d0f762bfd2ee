"""Selective synaptic dampening."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.dampening import dampen_model
from deepunlearn.ops.gradient_powers import mean_over_samples
from deepunlearn.ops.per_sample import Params

PUBLISHED_BATCH = 64  # samples per gradient of gradients=batch, the default of the published code


class SelectiveSynapticDampening(Method):
    """SSD: make weights smaller that matter more to the forget set than to all training data. No training.

    I_X = mean over the samples of X of the squared gradient of CE at theta_O, in evaluation mode; D = D_R + D_F. Where
    I_F > alpha I_D: theta <- min(dampening I_D / I_F, 1) theta. `dampening` is the paper's lambda.
    alpha=auto takes the (100 - ln(1 + 100 |D_F| / |D|))th percentile of I_F / I_D (Schoepf et al. 2024, adaptive SSD).
    gradients=batch squares means over batches of 64, as the published code does, instead of single samples.
    Source: Foster et al. 2024 (arXiv 2308.07707), equations 5 to 7 and algorithm 1.
    Deviation: alpha is auto by default. No I_F / I_D can exceed |D| / |D_F|, as D holds D_F: the published 10 changes
    nothing where a tenth of the data is forgotten, be it at random or one class of ten. The notes say what share of the
    weights was dampened; with 0 the row is the original.
    """

    alpha: float | str
    dampening: float
    gradients: str

    def run(self, problem: Problem) -> Iterator[None]:
        importance = squared_batch_means if self.gradients == "batch" else squared_gradients
        dampen_model(problem, partial(importance, problem), self.alpha, self.dampening)
        yield


def squared_gradients(problem: Problem, part: Part, weights: Params) -> Params:
    """The mean over samples of the squared gradient of each sample's cross-entropy."""
    batches = partial(problem.blocks, part)
    return mean_over_samples(problem.model, weights, batches, F.cross_entropy, 2)


def squared_batch_means(problem: Problem, part: Part, weights: Params) -> Params:
    """The mean over batches of the squared gradient of the batch's mean cross-entropy."""
    params = [problem.model.get_parameter(name) for name in weights]
    totals, batches = [torch.zeros_like(parameter) for parameter in params], 0
    for batch in problem.blocks(part, PUBLISHED_BATCH):
        gradients = problem.gradients([batch], params)
        torch._foreach_addcmul_(totals, gradients, gradients)
        batches += 1
    return {name: total / batches for name, total in zip(weights, totals, strict=True)}
