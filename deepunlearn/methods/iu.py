"""Influence unlearning (WoodFisher)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.per_sample import Params, add, dot, gradient_products, parameters_of, per_sample, slopes

GRADIENT_BATCH = 256
TOLERANCE = 1e-10  # of the squared residual over the squared right-hand side
MOST_ITERATIONS = 100


class InfluenceUnlearning(Method):
    """IU: one Newton-like step that takes the forget set's gradient back.

    v = (1 / N) sum over D_F of grad - (|F| / (N |R|)) sum over D_R of grad, N = |R| + |F|; theta = theta_O + alpha k, k
    approximating the inverse Fisher times v from n single samples of D_R; evaluation mode.
    solver=recurrence (WoodFisher): k = v, o = g_1; for each next sample t = o.g, k -= (k.g / (n + t)) o,
    o -= (t / (n + t)) o. It corrects v along g_1 only. solver=cg: (I + (1 / n) sum g g^T) k = v by conjugate gradients.
    Source: Izzo et al. 2021; Jia et al. 2023 (arXiv 2304.04934), appendix; Singh and Alistarh 2020 (WoodFisher).
    Deviation: a smaller default alpha (0.2, and 0.1 already, makes a network collapse that does not fit its
    data; 0.02 hardly moves one that does). One step, no epochs.
    """

    alpha: float
    samples: int
    solver: str

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.eval()
        count = min(self.samples, len(problem.retain))
        chosen = torch.randperm(len(problem.retain), generator=problem.generator)[:count]
        wanted = influence(problem)
        solve = recurrence if self.solver == "recurrence" else conjugate_gradients
        change = solve(problem, chosen, wanted)
        with torch.no_grad():
            for name, value in change.items():
                problem.model.get_parameter(name).add_(value, alpha=self.alpha)
        yield


def influence(problem: Problem) -> Params:
    """v of the class docstring: |F| / N times the difference of the two sets' mean gradients."""
    params = problem.movable(problem.model.parameters(), "everything that is to take the step")
    known = {id(parameter): name for name, parameter in problem.model.named_parameters()}
    forget = problem.gradients(problem.forget.blocks(GRADIENT_BATCH), params)
    retain = problem.gradients(problem.retain.blocks(GRADIENT_BATCH), params)
    names = [known[id(parameter)] for parameter in params]
    share = len(problem.forget) / (len(problem.forget) + len(problem.retain))
    return {name: share * (f - r) for name, f, r in zip(names, forget, retain, strict=True)}


def recurrence(problem: Problem, chosen: Tensor, v: Params) -> Params:
    """k after one pass over single samples.

    o stays a multiple of g_1, o = c g_1, and so k = v + s g_1. Of each next sample only its products with g_1 and v are
    needed, which whole batches give at once: no gradient of a single sample is formed but the first.
    """
    ((x, y),) = problem.retain.subset(chosen[:1]).blocks(1)
    first = {name: value[0] for name, value in per_sample(problem.model)(parameters_of(problem.model, v), x, y).items()}
    count = len(chosen)
    c, s = 1.0, 0.0
    for x, y in problem.retain.subset(chosen[1:]).blocks(GRADIENT_BATCH):
        products = (slopes(problem.model, x, y, direction).tolist() for direction in (first, v))
        for with_first, with_v in zip(*products, strict=True):
            t = c * with_first
            s -= (with_v + s * with_first) / (count + t) * c
            c -= t / (count + t) * c
    return add(v, first, s)


def conjugate_gradients(problem: Problem, chosen: Tensor, v: Params) -> Params:
    """k of (I + (1 / n) sum g g^T) k = v; notes the relative residual, as there is a limit on iterations."""

    def matrix(direction: Params) -> Params:
        result = direction
        for x, y in problem.retain.subset(chosen).blocks(GRADIENT_BATCH):
            result = add(result, gradient_products(problem.model, x, y, direction), 1 / len(chosen))
        return result

    k = {name: torch.zeros_like(value) for name, value in v.items()}
    residual = direction = v
    size = wanted = dot(v, v)
    for _ in range(MOST_ITERATIONS):
        if size <= TOLERANCE * wanted:
            break
        image = matrix(direction)
        step = size / dot(direction, image)
        k, residual = add(k, direction, step), add(residual, image, -step)
        previous, size = size, dot(residual, residual)
        direction = add(residual, direction, size / previous)
    problem.notes["cg_residual"] = math.sqrt(float(size / wanted.clamp(min=torch.finfo(wanted.dtype).tiny)))
    return k
