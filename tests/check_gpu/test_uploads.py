"""Batches that arrive damaged are found out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepunlearn.check_gpu import uploads
from deepunlearn.check_gpu.uploads import listed
from deepunlearn.check_gpu.where import Where
from deepunlearn.data import loader

HERE = Where("cpu")


def test_pinned_memory_is_of_gpus() -> None:
    assert [bool(part.lacks) for part in listed(HERE)] == [False, True]
    assert not any(part.lacks for part in listed(Where("cuda")))


def test_batches_that_are_copied_are_those_that_lie_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PASSES", 2)
    monkeypatch.setattr(uploads, "BUSY", 4)
    for busy in (False, True):
        outcome = uploads.uploads(HERE, busy=busy)
        assert outcome.state == "ok" and int(outcome.figures["batches"]) > 2


def test_a_copy_that_comes_too_late_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = loader._uploaded

    def late(tensor: Tensor, device: torch.device) -> Tensor:
        made = copy(tensor, device)
        return torch.zeros_like(made) if made.dtype == torch.uint8 else made

    monkeypatch.setattr(uploads, "PASSES", 1)
    monkeypatch.setattr(loader, "_uploaded", late)
    outcome = uploads.uploads(HERE, busy=False)
    assert outcome.state == "failed" and outcome.figures["unequal"] == outcome.figures["batches"]
