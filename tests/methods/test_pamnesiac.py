"""Partial amnesiac unlearning: between the original and amnesiac unlearning, entry by entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from deepunlearn.testing.small import equal_states, state
from tests.methods.learning import learnt, unlearned_by

ORIGINAL, RECORDED = learnt(batch_size=8, epochs=2, forgotten=[0])
REPAIR = {"lr": 0.05, "weight_decay": 0.0, "batch_size": 16, "epochs": 0}
AMNESIAC = state(unlearned_by("amnesiac", ORIGINAL, RECORDED, **REPAIR)[0])


def partial(**params: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    net, run = unlearned_by("pamnesiac", ORIGINAL, RECORDED, **{**REPAIR, "power": 1.0, **params})
    return state(net), run.notes


@pytest.mark.parametrize("by", ["random", "magnitude"])
def test_with_everything_kept_it_is_amnesiac_and_with_nothing_the_original(by: str) -> None:
    everything, notes = partial(first=1.0, last=1.0, by=by)
    assert equal_states(everything, AMNESIAC) and notes["kept_share"] == 1
    nothing, notes = partial(first=0.0, last=0.0, by=by)
    assert equal_states(nothing, state(ORIGINAL)) and notes["all_updates_MB"] == 0


@pytest.mark.parametrize("by", ["random", "magnitude"])
def test_each_entry_is_that_of_amnesiac_or_of_the_original_and_more_of_them_in_later_layers(by: str) -> None:
    before, (now, notes) = state(ORIGINAL), partial(first=0.1, last=0.9, by=by)
    shares = []
    for name, value in now.items():
        taken = value == AMNESIAC[name]
        assert bool((taken | (value == before[name])).all()), name
        if name.endswith("weight") and value.dim() > 1:
            shares.append(float(taken.float().mean()))
    assert shares == sorted(shares) and shares[0] == pytest.approx(0.1, abs=0.02)
    assert shares[-1] == pytest.approx(0.9, abs=0.02)
    assert 0.1 < notes["kept_share"] < 0.9
    assert notes["affected_updates_MB"] == pytest.approx(2 * notes["kept_share"] * RECORDED.update_bytes / 1e6)


def test_by_magnitude_the_largest_changes_are_taken_back() -> None:
    now, _ = partial(first=0.5, last=0.5, by="magnitude")
    name = "head.weight"
    moved = (now[name] != state(ORIGINAL)[name]).flatten()
    sizes = RECORDED.updates[name].abs().flatten()
    assert 0 < moved.sum() < len(moved) and sizes[moved].min() >= sizes[~moved].max()


@pytest.mark.parametrize("by", ["random", "magnitude"])
def test_depth_is_the_networks_whatever_order_a_record_comes_in(by: str) -> None:
    """A record that is read from its file comes by type and name, in which a head would be an early layer."""
    by_name = replace(RECORDED, updates=dict(sorted(RECORDED.updates.items())))
    assert list(by_name.updates) != list(RECORDED.updates)
    params = {**REPAIR, "first": 0.1, "last": 0.9, "power": 1.0, "by": by}
    net, _ = unlearned_by("pamnesiac", ORIGINAL, by_name, **params)
    assert equal_states(state(net), partial(first=0.1, last=0.9, by=by)[0])
