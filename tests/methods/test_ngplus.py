"""NG+ against a plain loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.methods.oracles import DATA, SEED, PlainSGD, close, everything, in_rounds, run, student_of, trained

NGPLUS = {"lr": 0.02, "weight_decay": 0.01, "batch_size": 16, "epochs": 2, "alpha": 0.8}


@pytest.mark.parametrize("batch_size", [16, 64])  # the forget set (26 samples) ends within an epoch, and is one batch
def test_ngplus_descends_and_ascends_in_one_step(batch_size: int) -> None:
    original, generator = trained(), torch.Generator().manual_seed(SEED)
    expected = student_of(original).eval()
    optimizer = PlainSGD(expected, 0.01)
    forget = in_rounds(everything("forget"), batch_size, generator)
    for _ in range(2):
        for x, y in DATA["retain"].batches(batch_size, generator):
            forget_x, forget_y = next(forget)
            down, up = F.cross_entropy(expected(x), y), F.cross_entropy(expected(forget_x), forget_y)
            optimizer.step(0.8 * down - (1 - 0.8) * up, 0.02)
    unlearned = run("ngplus", original, **{**NGPLUS, "batch_size": batch_size})
    close(unlearned, expected)
    for key, value in original.state_dict().items():
        assert ("running" not in key and "num_batches" not in key) or torch.equal(value, unlearned.state_dict()[key])
