"""Shards and slices: every sample is in one, and what is retrained is what slow loops say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.sharding import epochs_of_slices, placed


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 40), st.integers(0, 9))
def test_every_sample_has_a_place_and_all_places_are_of_one_size(
    shards: int, slices: int, more: int, seed: int
) -> None:
    samples = 2 * shards * slices + more
    placement = placed(samples, shards, slices, seed)
    sizes = np.zeros((shards, slices), dtype=int)
    np.add.at(sizes, (placement.shard, placement.slice), 1)
    assert sizes.sum() == samples and np.ptp(sizes.sum(1)) <= 1 and sizes.min() >= 2
    assert all(np.ptp(own) <= 1 for own in sizes)
    assert np.array_equal(placed(samples, shards, slices, seed).shard, placement.shard)


def test_what_is_touched_and_gone_through_is_what_plain_loops_say() -> None:
    placement = placed(60, 3, 4, 0)
    gone = np.zeros(60, dtype=bool)
    gone[[4, 9, 33]] = True
    first: dict[int, int] = {}
    for sample in np.flatnonzero(gone):
        shard, piece = int(placement.shard[sample]), int(placement.slice[sample])
        first[shard] = min(piece, first.get(shard, piece))
    assert placement.touched(gone) == first
    passes = 0
    for shard, start in first.items():
        for piece in range(start, 4):
            rows = [one for one in range(60) if placement.shard[one] == shard and placement.slice[one] <= piece]
            kept = [one for one in rows if not gone[one]]
            assert placement.members(shard, piece, gone).tolist() == kept
            passes += len(kept)
    assert placement.passes(first, gone) == passes


def test_nothing_that_is_gone_touches_nothing() -> None:
    assert placed(60, 3, 4, 0).touched(np.zeros(60, dtype=bool)) == {}


def test_a_class_that_is_likelier_to_go_lies_in_the_last_shard_and_slices() -> None:
    likely = np.arange(100) % 10 == 3
    placement = placed(100, 5, 4, 0, likely)
    assert placement.touched(likely) == {4: 2}, "10 samples: two slices of five"
    assert len(placed(100, 5, 4, 0).touched(likely)) > 1


@pytest.mark.parametrize(("epochs", "slices", "each"), [(20, 4, 8), (10, 1, 10), (1, 9, 1), (50, 4, 20)])
def test_slices_cost_together_what_the_epochs_of_an_original_do(epochs: int, slices: int, each: int) -> None:
    assert epochs_of_slices(epochs, slices) == each
    if each > 1:
        assert each * sum(range(1, slices + 1)) / slices == pytest.approx(epochs)


def test_too_many_slices_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="at least 2 samples of a slice") as caught:
        placed(39, 5, 4, 0)
    assert "39 samples" in str(caught.value.given)
