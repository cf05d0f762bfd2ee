"""SISA: what is left after deletion is what training without it gives, from the start and bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepunlearn.core.schema import TrainConfig
from deepunlearn.core.sharding import Placement, placed
from deepunlearn.learning import Ensemble, Shards
from deepunlearn.testing.small import equal_states, model, parts, runtime, state
from deepunlearn.training import train
from tests.methods.learning import unlearned_by

PART = parts()["train"].subset(range(48))
RECIPE = TrainConfig(epochs=1, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=8)
SIZE = {"shards": 3, "slices": 2, "likely_class": -1}
PLACEMENT = placed(48, 3, 2, 7)
States = dict[tuple[int, int], dict[str, Tensor]]


def from_scratch(placement: Placement, gone: list[int]) -> tuple[nn.Module, States]:
    """The slow way: an ensemble that has never seen `gone`, and the states before each slice and at the end."""
    members, states = [], dict[tuple[int, int], dict[str, Tensor]]()
    for shard in range(placement.shards):
        net = model(seed=shard)
        for piece in range(placement.slices):
            states[shard, piece] = copy.deepcopy(net.state_dict())
            rows = [one for one in range(48)
                    if placement.shard[one] == shard and placement.slice[one] <= piece and one not in gone]  # fmt: skip
            if len(rows) >= 2:
                train(net, PART.subset(rows), RECIPE, runtime(), f"id shard {shard} slice {piece}")
        states[shard, placement.slices] = copy.deepcopy(net.state_dict())
        members.append(net)
    return Ensemble(members).requires_grad_(False).eval(), states


ORIGINAL, STATES = from_scratch(PLACEMENT, [])


def after(gone: list[int], placement: Placement = PLACEMENT, original: nn.Module = ORIGINAL, states: States = STATES,
          asked: list[tuple[int, int]] | None = None) -> tuple[nn.Module, dict[str, object]]:  # fmt: skip
    def before(shard: int, piece: int) -> Mapping[str, Tensor]:
        (asked if asked is not None else []).append((shard, piece))
        return states[shard, piece]

    mask = np.isin(np.arange(48), gone)
    shards = Shards(placement, mask, PART, RECIPE, "id", before, runtime())
    net, run = unlearned_by("sisa", original, shards, **SIZE)
    return net, run.notes


@pytest.mark.parametrize("gone", [[5], [5, 11, 40], list(range(20)), np.flatnonzero(PLACEMENT.shard == 1).tolist()])
def test_after_deletion_it_is_the_ensemble_that_was_never_trained_on_it_bit_for_bit(gone: list[int]) -> None:
    net, _ = after(gone)
    never, _ = from_scratch(PLACEMENT, gone)
    assert equal_states(state(net), state(never)) and not equal_states(state(net), state(ORIGINAL))


def test_only_what_has_seen_a_deleted_sample_is_trained_again() -> None:
    """The last slice of shard 2: two networks keep their bits, and the third goes back to before that slice."""
    gone = int(np.flatnonzero((PLACEMENT.shard == 2) & (PLACEMENT.slice == 1))[0])
    asked: list[tuple[int, int]] = []
    net, notes = after([gone], asked=asked)
    assert asked == [(2, 1)] and (notes["touched_shards"], notes["shards"]) == (1, 3)
    now, before = ([state(one.get_submodule(f"members.{shard}")) for shard in range(3)] for one in (net, ORIGINAL))
    assert [equal_states(*pair) for pair in zip(now, before, strict=True)] == [True, True, False]
    assert notes["retrained_share"] == pytest.approx(15 / (3 * (8 + 16) - 1))


def test_a_class_that_only_one_shard_holds_retrains_only_that_shard() -> None:
    labels = PART.labels.numpy()
    placement = placed(48, 3, 2, 7, labels == 3)
    assert set(placement.shard[labels == 3]) == {2}
    _, notes = after(np.flatnonzero(labels == 3).tolist(), placement, *from_scratch(placement, []))
    assert notes["touched_shards"] == 1


def test_its_prediction_is_the_mean_of_the_softmax() -> None:
    x, _ = next(PART.blocks(10))
    mean = torch.stack([member(x).softmax(1) for member in ORIGINAL.get_submodule("members").children()]).mean(0)
    torch.testing.assert_close(ORIGINAL(x).softmax(1), mean)
    torch.testing.assert_close(ORIGINAL(x).exp(), mean)
