"""SRL against a plain loop, and how its labels are drawn."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from deepunlearn.testing.small import CLASSES, model
from tests.methods.oracles import FORGET, RETAIN, SEED, PlainSGD, close, cosine, everything, passes_of, run, shuffled
from tests.methods.relabelling import (
    RELABELLED,
    check_labels_are_drawn_each_epoch,
    check_labels_are_uniform,
    chi_squared,
    drawn_labels,
    joined,
    seen_labels,
)

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.mark.parametrize("wrong", [False, True])
def test_srl_draws_labels_each_epoch_and_anneals(wrong: bool) -> None:
    original = model().double()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    for epoch in range(3):
        labels = drawn_labels(generator, wrong)
        for x, y in shuffled(joined(labels), 32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), cosine(0.05, epoch, 3))
    close(run("srl", original, epochs=3, exclude_true_label=wrong, **RELABELLED), expected)


@pytest.mark.parametrize("wrong", [False, True])
def test_srl_draws_labels_anew_each_epoch(monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
    check_labels_are_drawn_each_epoch(monkeypatch, "srl", CLASSES - wrong, **RELABELLED, exclude_true_label=wrong)


def test_srl_draws_labels_uniformly_from_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    check_labels_are_uniform(monkeypatch, "srl", **RELABELLED, exclude_true_label=False)


def test_srl_can_exclude_the_true_label(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = seen_labels(monkeypatch, "srl", 40, exclude_true_label=True, **RELABELLED)[1]
    assert chi_squared((forget - everything("forget")[1]) % CLASSES, range(1, CLASSES)) < 13.8
    assert (forget != everything("forget")[1]).all()


def test_srl_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "srl", **RELABELLED, epochs=3, exclude_true_label=False) == [RETAIN + FORGET] * 3
