"""Selective dampening: weights that matter more to the forget set than to all data are made smaller."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.ops.per_sample import Params, parameters_of

AUTO = "auto"  # alpha from the ratios themselves


class HasParts(Protocol):
    """What a method's problem offers for this."""

    model: nn.Module
    retain: Part
    forget: Part
    notes: dict[str, Value]

    def movable(self, params: Iterable[nn.Parameter], what: str) -> list[nn.Parameter]: ...


def dampen_model(
    problem: HasParts, importance: Callable[[Part, Params], Params], alpha: float | str, dampening: float
) -> None:
    """Dampen what may move, by the `importance` of each weight for D_F and for D = D_R + D_F, in evaluation mode.

    alpha: a number, or AUTO for `threshold`. Notes the share of the weights dampened (0: the model is the original),
    the largest I_F / I_D and the alpha that was used.
    """
    problem.model.eval()
    movable = {id(one) for one in problem.movable(problem.model.parameters(), "everything that is to be dampened")}
    weights = parameters_of(
        problem.model, [name for name, one in problem.model.named_parameters() if id(one) in movable]
    )
    data = problem.retain.joined(problem.forget)
    of_forget, of_all = importance(problem.forget, weights), importance(data, weights)
    values = ratios(of_forget, of_all)
    limit = threshold(values, len(problem.forget), len(data)) if alpha == AUTO else float(alpha)
    chosen = dampen(weights, of_forget, of_all, limit, dampening)
    problem.notes.update(dampened=chosen / len(values), largest_ratio=float(values.max()), alpha=limit)


@torch.no_grad()
def dampen(weights: Params, forget: Params, everything: Params, alpha: float, dampening: float) -> int:
    """Where I_F > alpha I_D: weight *= min(dampening I_D / I_F, 1), in place; returns how many entries these are.

    forget, everything: importances I_F and I_D (>= 0) of each entry of `weights`.
    """
    chosen = 0
    for name, weight in weights.items():
        above = forget[name] > alpha * everything[name]
        factor = (dampening * everything[name] / forget[name]).clamp(max=1)
        weight.copy_(torch.where(above, weight * factor, weight))
        chosen += int(above.sum())
    return chosen


def ratios(forget: Params, everything: Params) -> Tensor:
    """I_F / I_D of all entries in one row, 0 where neither set makes use of a weight."""
    return torch.cat([(forget[name] / everything[name]).nan_to_num(nan=0.0).flatten() for name in forget])


def threshold(values: Tensor, forgotten: int, samples: int) -> float:
    """The (100 - ln(1 + 100 forgotten / samples))th percentile of `values` (adaptive SSD, Schoepf et al. 2024)."""
    return percentile(values, 100 - math.log1p(100 * forgotten / samples))


def percentile(values: Tensor, percent: float) -> float:
    """The percentile of `values` [N] with linear interpolation, for any N (`torch.quantile` has a limit)."""
    place = percent / 100 * (len(values) - 1)
    low, high = (float(torch.kthvalue(values, at + 1).values) for at in (math.floor(place), math.ceil(place)))
    return low + (place - math.floor(place)) * (high - low)
