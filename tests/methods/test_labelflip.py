"""Label flipping against a plain loop, and how its labels are drawn."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from deepunlearn.testing.small import CLASSES, model
from tests.methods.oracles import FORGET, RETAIN, SEED, PlainSGD, close, cosine, everything, passes_of, run, shuffled
from tests.methods.relabelling import RELABELLED, chi_squared, drawn_labels, joined, seen_labels

pytestmark = pytest.mark.usefixtures("double_precision")


def test_labelflip_draws_wrong_labels_once_and_anneals() -> None:
    original = model().double()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    labels = drawn_labels(generator, wrong=True)
    for epoch in range(3):
        for x, y in shuffled(joined(labels), 32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), cosine(0.05, epoch, 3))
    close(run("labelflip", original, epochs=3, **RELABELLED), expected)


def test_labelflip_keeps_one_wrong_label_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    true, shifts = everything("forget")[1], []
    for seed in range(12):
        retain, forget = seen_labels(monkeypatch, "labelflip", 3, seed, **RELABELLED)
        assert torch.equal(retain, everything("retain")[1].expand_as(retain)), "a retain label was changed"
        assert (forget == forget[0]).all(), "drawn more than once"
        assert (forget[0] != true).all(), "a true label was kept"
        shifts.append((forget[0] - true) % CLASSES)
    assert len({tuple(row.tolist()) for row in shifts}) == len(shifts)
    assert chi_squared(torch.stack(shifts), range(1, CLASSES)) < 13.8  # 2 degrees of freedom, p = 0.001


def test_labelflip_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "labelflip", **RELABELLED, epochs=3) == [RETAIN + FORGET] * 3
