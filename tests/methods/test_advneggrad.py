"""AdvNegGrad against a plain loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.methods.oracles import (
    DATA,
    SEED,
    PlainAdam,
    close,
    everything,
    in_rounds,
    passes_of,
    run,
    student_of,
    trained,
)

pytestmark = pytest.mark.usefixtures("double_precision")

PARAMS = {"lr": 1e-3, "weight_decay": 0.01, "batch_size": 16, "epochs": 2, "alpha": 0.8}


@pytest.mark.parametrize("batch_size", [16, 64])  # batches of unequal size; the forget set is one batch
def test_advneggrad_descends_and_ascends_in_one_forward_pass(batch_size: int) -> None:
    original, generator = student_of(trained()).double(), torch.Generator().manual_seed(SEED)
    expected = student_of(original).train()
    optimizer = PlainAdam(expected, 0.01)
    forget = in_rounds(everything("forget"), batch_size, generator)
    for _ in range(2):
        for x, y in DATA["retain"].batches(batch_size, generator):
            forget_x, forget_y = next(forget)
            logits = expected(torch.cat([x, forget_x]))  # statistics of both together
            down, up = F.cross_entropy(logits[: len(x)], y), F.cross_entropy(logits[len(x) :], forget_y)
            optimizer.step(down - 0.8 * up, 1e-3)
    close(run("advneggrad", original, **{**PARAMS, "batch_size": batch_size}), expected)


def test_without_ascent_the_forget_labels_are_of_no_effect() -> None:
    """alpha weighs the ascent alone: at 0 only the statistics know the forget set."""
    forget = DATA["forget"]
    other = {**DATA, "forget": forget.with_labels((forget.labels + 1) % 4)}
    original = student_of(trained()).double()
    both = [run("advneggrad", original, data, **{**PARAMS, "alpha": 0.0}) for data in (DATA, other)]
    close(*both, rtol=0, atol=0)


def test_advneggrad_takes_every_retain_sample_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = passes_of(monkeypatch, "advneggrad", **{**PARAMS, "batch_size": 64})
    assert passes.count(len(DATA["retain"])) == 2
