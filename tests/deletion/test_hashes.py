"""Digests of weights: of what they are, and not of how they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from deepunlearn.archs.small import build
from deepunlearn.deletion.hashes import file_sha256, weights_sha256
from deepunlearn.training import load_weights, save_weights


def test_weights_have_one_hash_in_every_file_and_memory_layout(tmp_path: Path) -> None:
    model = build(10, 32)
    save_weights(tmp_path / "weights.safetensors", model)
    other = build(10, 32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert weights_sha256(other) != weights_sha256(model)
    load_weights(tmp_path / "weights.safetensors", other)
    assert weights_sha256(other) == weights_sha256(model)


@pytest.mark.parametrize("name", ["head.bias", "stem.1.running_mean", "stem.1.num_batches_tracked"])
def test_any_number_that_changes_changes_the_hash(name: str) -> None:
    model = build(10, 32)
    before = weights_sha256(model)
    value = model.state_dict()[name]
    value[(0,) * value.dim()] += 1
    assert weights_sha256(model) != before


def test_shapes_and_names_count() -> None:
    one, other = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    other.weight.data = one.weight.data.reshape(2, 3).clone()
    assert weights_sha256(one) != weights_sha256(other)
    assert weights_sha256(nn.Sequential(one)) != weights_sha256(one)


def test_files_are_hashed_as_sha256sum_has_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
