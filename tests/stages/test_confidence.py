"""Confidence over a training: against a plain count, and without a trace in the training itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepunlearn.core.errors import Diverged
from deepunlearn.core.schema import TrainConfig
from deepunlearn.stages.confidence import Confidence
from deepunlearn.testing.small import dataset, equal_states, model, parts, runtime, state
from deepunlearn.training import Checkpoint, History, train

RECIPE = TrainConfig(epochs=3, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=16)
PART = parts(dataset(crop_padding=4, flip=True))["train"].subset(range(40))


class Stop(Exception):
    pass


def stop_after(epochs: int) -> Callable[[History], None]:
    def stop(history: History) -> None:
        if len(history.losses) == epochs:
            raise Stop

    return stop


@pytest.mark.parametrize("arch", ["smallnet", pytest.param("tinyvit", marks=pytest.mark.slow)])
def test_a_training_that_is_watched_is_the_same_bit_for_bit(arch: str) -> None:
    alone, watched = model(arch), model(arch)
    before = train(alone, PART, RECIPE, runtime(), "id")
    with_watch = train(watched, PART, RECIPE, runtime(), "id", watch=Confidence(PART, runtime()))
    assert equal_states(state(alone), state(watched))
    assert before.losses == with_watch.losses


def test_it_is_the_mean_probability_of_the_label_after_each_epoch() -> None:
    network, watch, expected = model(), Confidence(PART, runtime()), []

    def note(history: History) -> None:
        network.eval()
        with torch.no_grad():
            (x, y), *_ = PART.blocks(len(PART))
            probabilities = torch.exp(network(x)) / torch.exp(network(x)).sum(1, keepdim=True)
            expected.append([float(row[label]) for row, label in zip(probabilities, y, strict=True)])
        network.train()

    train(network, PART, RECIPE, runtime(), "id", watch=watch, on_epoch=note)
    assert len(expected) == RECIPE.epochs
    np.testing.assert_allclose(watch.means(), np.mean(expected, axis=0), rtol=1e-4)
    assert 0 < watch.means().min() < watch.means().max() < 1


@pytest.mark.parametrize("kills", [(1,), (1, 2), (2,)])
def test_a_kill_loses_and_doubles_no_epoch(tmp_path: Path, kills: tuple[int, ...]) -> None:
    unbroken = Confidence(PART, runtime())
    train(model(), PART, RECIPE, runtime(), "id", watch=unbroken)
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    for number, stop in enumerate(kills):
        watch = Confidence(PART, runtime())
        with pytest.raises(Stop):
            start = model(seed=99 if number else 0)  # a new process starts from other memory
            train(start, PART, RECIPE, runtime(), "id", checkpoint=checkpoint, watch=watch, on_epoch=stop_after(stop))
    resumed = Confidence(PART, runtime())
    train(model(seed=99), PART, RECIPE, runtime(), "id", checkpoint=checkpoint, watch=resumed)
    assert int(resumed.seen["epochs"]) == RECIPE.epochs
    assert np.array_equal(resumed.means(), unbroken.means())


def test_logits_that_are_not_finite_are_an_error_and_no_score() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 4), torch.nan)

    watch = Confidence(PART, runtime())
    watch.look(Broken())
    with pytest.raises(Diverged, match="end of an epoch"):
        watch.means()
