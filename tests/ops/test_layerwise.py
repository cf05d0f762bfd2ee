"""Shares that grow with depth, and masks of exactly such shares."""

from __future__ import annotations

import pytest
import torch

from deepunlearn.ops.layerwise import largest_masks, random_masks, share_at, shares_by_depth

NAMES = ("stem.weight", "stem.bias", "body.0.weight", "body.1.running_var", "head.weight")


@pytest.mark.parametrize(("power", "middle"), [(1.0, 0.5), (2.0, 0.35), (0.5, 0.2 + 0.6 / 2**0.5)])
def test_the_share_goes_from_the_first_to_the_last_layer_by_the_power(power: float, middle: float) -> None:
    assert [share_at(layer, 3, 0.2, 0.8, power) for layer in range(3)] == pytest.approx([0.2, middle, 0.8])
    assert share_at(0, 1, 0.2, 0.8, power) == pytest.approx(0.8), "a single layer is the last"


def test_tensors_of_one_module_are_of_one_layer() -> None:
    shares = shares_by_depth(NAMES, 0.0, 0.9, 1.0)
    assert list(shares.values()) == pytest.approx([0.0, 0.0, 0.3, 0.6, 0.9])


def test_masks_have_exactly_that_many_entries() -> None:
    values = {name: torch.arange(12.0).view(3, 4) - 6 for name in NAMES}
    shares = shares_by_depth(NAMES, 0.0, 1.0, 1.0)
    shapes = {name: value.shape for name, value in values.items()}
    drawn, again, other = (random_masks(shapes, shares, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    wanted = [round(share * 12) for share in shares.values()]
    assert [int(mask.sum()) for mask in drawn.values()] == wanted == [0, 0, 4, 8, 12]
    assert all(torch.equal(mask, again[name]) for name, mask in drawn.items())
    assert not all(torch.equal(mask, other[name]) for name, mask in drawn.items())
    largest = largest_masks(values, shares)
    assert [int(mask.sum()) for mask in largest.values()] == wanted
    assert sorted(values["body.0.weight"][largest["body.0.weight"]].tolist()) == [-6.0, -5.0, -4.0, 5.0]
