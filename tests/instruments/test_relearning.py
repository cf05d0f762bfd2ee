"""Relearning against a plain loop, and what it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepunlearn.core.errors import Diverged, NotApplicable
from deepunlearn.core.progress import Progress
from deepunlearn.data.loader import Part
from deepunlearn.instruments import relearning
from deepunlearn.instruments.relearning import Reached, accuracy, relearn, relearn_once
from deepunlearn.testing.small import equal_states, model, parts, runtime, state

FORGET = parts()["forget"]  # 25 samples of 4 classes


def tried(network: nn.Module, *targets: float, most_epochs: int = 6, part: Part = FORGET) -> list[Reached]:
    return relearn(network, part, targets, runtime(), most_epochs=most_epochs, progress=Progress(quiet=True))


def plainly(network: nn.Module, target: float, batch_size: int, most_epochs: int) -> Reached:
    """The same, looked at after every step, with torch's own optimiser."""
    mine, (everything, labels) = copy.deepcopy(network), next(FORGET.blocks(len(FORGET)))
    optimizer = torch.optim.Adam(mine.parameters(), lr=1e-3, foreach=False)
    steps = epochs = None
    done = 0
    with runtime().seeded(0) as generator:
        for epoch in range(1, most_epochs + 1):
            for x, y in FORGET.batches(batch_size, generator):
                optimizer.zero_grad()
                F.cross_entropy(mine.train()(x), y).backward()
                optimizer.step()
                done += 1
                reached = bool((mine.eval()(everything).argmax(1) == labels).double().mean() >= target)
                steps = done if reached and steps is None else steps
            epochs = epoch if reached and epochs is None else epochs
            if epochs is not None:
                break
    return Reached(epochs, steps)


@pytest.mark.parametrize("batch_size", [4, 8])
def test_it_is_the_plain_loop(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "BATCH_SIZE", batch_size)
    network = model()
    targets = [0.3, 0.5, 0.8]
    found = tried(network, *targets)
    assert found == [plainly(network, target, batch_size, 6) for target in targets]
    assert len({one.steps for one in found}) > 1 and any(one.steps and one.steps % 4 for one in found)


def test_what_is_known_takes_nothing_and_what_cannot_be_learnt_has_no_time() -> None:
    network = model()
    known = accuracy(network, FORGET, runtime())
    assert tried(network, known, 1.1, most_epochs=2) == [Reached(0, 0), Reached(None, None)]
    assert 0 < known < 1


def test_the_rounding_of_a_product_costs_no_step() -> None:
    """0.95 of an accuracy that is met exactly counts as met."""
    network = model()
    known = accuracy(network, FORGET, runtime())
    assert tried(network, 0.95 * (known / 0.95) * (1 + 1e-12)) == [Reached(0, 0)]


def test_it_looks_less_often_where_an_epoch_has_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "BATCH_SIZE", 4)
    monkeypatch.setattr(relearning, "LOOKS", 2)
    looked: list[int] = []
    seen = relearning._Trial.look
    monkeypatch.setattr(
        relearning._Trial, "look", lambda self, steps, epoch: (looked.append(steps), seen(self, steps, epoch))
    )
    tried(model(), 1.1, most_epochs=2)
    assert FORGET.steps(4) == 7 and looked == [0, 4, 7, 11, 14]


def test_the_model_and_the_random_state_stay_as_they_are() -> None:
    network = model().requires_grad_(False).eval()
    before, random = state(network), torch.get_rng_state()
    tried(network, 1.1, most_epochs=2)
    assert equal_states(before, state(network)) and torch.equal(random, torch.get_rng_state())
    assert not network.training and not any(one.requires_grad for one in network.parameters())


def test_equal_models_take_equally_long() -> None:
    assert tried(model(), 0.6, 0.8) == tried(model(), 0.6, 0.8)


def test_weights_that_are_not_finite_do_not_pass_as_a_class() -> None:
    """Logits of NaN have their largest at class 0."""
    network, zeros = model(), torch.zeros(len(FORGET), dtype=torch.int64)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged):
        tried(network, 1.1, part=FORGET.with_labels(zeros))


def test_one_sample_is_too_few_for_batch_normalisation() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4), nn.BatchNorm1d(4))
    with pytest.raises(NotApplicable, match="one sample cannot be relearnt"):
        tried(network, 1.1, part=FORGET.subset([0]))


def test_once_is_once_for_equal_weights_and_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "_known", {})
    taken: list[Any] = []
    monkeypatch.setattr(relearning, "relearn", lambda network, *_, **__: taken.append(network) or [Reached(1, 1)])

    def once(network: nn.Module, part: Part = FORGET, target: float = 0.5) -> None:
        relearn_once(network, part, [target], runtime(), progress=Progress(quiet=True))

    once(model())
    once(model())
    assert len(taken) == 1
    once(model(seed=1))
    once(model(), part=FORGET.subset(range(20)))
    once(model(), part=FORGET.with_labels(FORGET.labels.flip(0)))
    once(model(), target=0.6)
    assert len(taken) == 5
