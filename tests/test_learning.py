"""Recording of updates: against a slow oracle that keeps them all, and without a trace in the training itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.core.schema import TrainConfig
from deepunlearn.learning import Updates, affected_batches
from deepunlearn.runtime import Clock
from deepunlearn.testing.small import ARCHS, dataset, equal_states, model, parts, runtime, state
from deepunlearn.training import Batches, Checkpoint, train

RECIPE = TrainConfig(epochs=3, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=8)
PART = parts(dataset(crop_padding=4, flip=True))["train"].subset(range(40))
FORGOTTEN = torch.tensor([3, 17])
AFFECTED = affected_batches("id", RECIPE, len(PART), FORGOTTEN)


class Everything:
    """Keeps what each batch held and each step did: the slow way."""

    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}
        self.labels: list[list[Tensor]] = []
        self.steps: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def follow(self, epoch: int, batches: Batches, net: nn.Module, clock: Clock) -> Batches:
        self.labels.append([])
        for x, y in batches:
            before = state(net)
            yield x, y
            self.labels[-1].append(y)
            self.steps.append((before, state(net)))

    def look(self, net: nn.Module) -> None:
        pass


class Stop(Exception):
    pass


def recording(seed: int = 0) -> Updates:
    return Updates(model(seed=seed), AFFECTED, runtime())


def test_a_training_that_is_recorded_is_the_same_bit_for_bit() -> None:
    alone, watched = model(), model()
    before = train(alone, PART, RECIPE, runtime(), "id")
    after = train(watched, PART, RECIPE, runtime(), "id", watch=recording())
    assert equal_states(state(alone), state(watched)) and before.losses == after.losses


def test_the_batches_that_count_are_those_that_held_a_forgotten_sample() -> None:
    """Each sample's label is its number here, so that the batches say themselves who was in them."""
    watch, network = Everything(), archs.build(ARCHS["smallnet"], len(PART), 32, 0)
    train(network, PART.with_labels(torch.arange(len(PART))), RECIPE, runtime(), "id", watch=watch)
    held = [[bool(torch.isin(FORGOTTEN, batch).any()) for batch in epoch] for epoch in watch.labels]
    assert held == AFFECTED and sum(map(sum, held)) in range(RECIPE.epochs, 2 * RECIPE.epochs + 1)


def test_of_a_small_remainder_the_batches_are_those_that_are_served() -> None:
    """Its samples join other batches."""
    watch, some = Everything(), PART.subset(range(35))
    train(model(), some, RECIPE, runtime(), "id", watch=watch)
    flags = affected_batches("id", RECIPE, 35, FORGOTTEN)
    assert [list(map(len, watch.labels))] == [list(map(len, flags))] and len(flags[0]) == 4


def test_the_sum_is_that_of_all_kept_updates_of_these_batches() -> None:
    slow, watch = Everything(), recording()
    train(model(), PART, RECIPE, runtime(), "id", watch=slow)
    train(model(), PART, RECIPE, runtime(), "id", watch=watch)
    flags = [flag for epoch in AFFECTED for flag in epoch]
    assert len(flags) == len(slow.steps) and 0 < sum(flags) < len(flags)
    for name, total in watch.sums.items():
        kept = [after[name].double() - before[name].double()
                for flag, (before, after) in zip(flags, slow.steps, strict=True) if flag]  # fmt: skip
        torch.testing.assert_close(total.double(), torch.stack(kept).sum(0), rtol=1e-12, atol=1e-14)
        assert torch.count_nonzero(total), name
    assert any(name.endswith("running_var") for name in watch.sums)


class Killed(Updates):
    """Ends the training before its step of this number."""

    def __init__(self, steps: int) -> None:
        super().__init__(model(), AFFECTED, runtime())
        self.left = steps

    def follow(self, epoch: int, batches: Batches, net: nn.Module, clock: Clock) -> Batches:
        for batch in super().follow(epoch, batches, net, clock):
            if not self.left:
                raise Stop
            self.left -= 1
            yield batch


@pytest.mark.parametrize("kills", [(7,), (7, 6)])
def test_a_kill_within_an_epoch_loses_and_doubles_no_update(tmp_path: Path, kills: tuple[int, ...]) -> None:
    unbroken, resumed = recording(), recording(seed=99)
    train(model(), PART, RECIPE, runtime(), "id", watch=unbroken)
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    for number, step in enumerate(kills):
        start = model(seed=99 if number else 0)  # a new process starts from other memory
        with pytest.raises(Stop):
            train(start, PART, RECIPE, runtime(), "id", checkpoint=checkpoint, watch=Killed(step))
    train(model(seed=99), PART, RECIPE, runtime(), "id", checkpoint=checkpoint, watch=resumed)
    assert equal_states(resumed.sums, unbroken.sums)
