"""Masks by a threshold against the stable sort that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepunlearn.ops.convolutions import smallest
from deepunlearn.ops.ranks import first
from deepunlearn.ops.saliency import largest


def by_sorting(scores: Tensor, count: int, largest: bool) -> Tensor:
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[scores.argsort(descending=largest, stable=True)[:count]] = True
    return mask


def scores(kind: str) -> Tensor:
    values = torch.randn(997, generator=torch.Generator().manual_seed(0))
    kinds = {
        "all differ": values,
        "many ties": (values * 3).round(),
        "half zero": values.relu(),
        "all equal": torch.ones(997),
        "signed zeros": torch.where(values > 0, 0.0, -0.0),
        "infinite": torch.where(values.abs() > 1.5, values.sign() * torch.inf, values.round()),
        "not a number": torch.where(values > 1.5, torch.nan, values.round()),
        "half precision": values.half(),
    }
    return kinds[kind]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 400, 498, 996, 997])
@pytest.mark.parametrize(
    "kind",
    ["all differ", "many ties", "half zero", "all equal", "signed zeros", "infinite", "not a number", "half precision"],
)
def test_the_mask_is_that_of_a_stable_sort(kind: str, count: int, largest: bool) -> None:
    assert torch.equal(first(scores(kind), count, largest=largest), by_sorting(scores(kind), count, largest))


def test_both_users_of_it_keep_their_shapes_and_counts() -> None:
    tied = [torch.ones(3, 4), torch.zeros(5), torch.ones(2, 2, 2)]
    masks = largest(tied, 0.5)  # 12.5 of 25, rounded to the even 12: the first tensor alone
    assert [mask.shape for mask in masks] == [score.shape for score in tied]
    assert masks[0].all() and not masks[1].any() and not masks[2].any()
    assert int(sum(mask.sum() for mask in largest(tied, 0.0))) == 1, "at least one"
    mask = smallest(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), 0.5)
    assert mask.tolist() == [[False, True], [True, False]]
    assert not smallest(torch.ones(3, 3), 0.0).any() and smallest(torch.ones(3, 3), 1.0).all()
