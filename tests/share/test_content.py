"""What stores hold passes, whoever wrote it: numpy and safetensors themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from deepunlearn.core.errors import StoreError
from deepunlearn.share.content import CHECKS


def passes(name: str, data: bytes) -> None:
    def refuse(why: str) -> StoreError:
        return StoreError(why)

    CHECKS[Path(name).suffix](io.BytesIO(data), len(data), refuse)


def test_what_the_libraries_write() -> None:
    arrays = {
        "a": np.ones((0, 3)),
        "b": np.arange(5),
        "c": np.array(["é", "xyz"]),
        "d": np.array(True),
        "e": np.ones(1),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    passes("x.npz", file.getvalue())
    passes("x.safetensors", save({"a": np.ones((3, 0), np.float32), "b": np.ones(4)}, metadata={"history": "{}"}))
    passes("x.json", '[1, 1e300, "é"]'.encode())
    passes("x.csv", "a,b\né,\n".encode())


@pytest.mark.parametrize("wrong", [b"", b"\x00" * 7, b"\x00" * 8, b"\xff" * 20, save({"a": np.ones(3)}) + b"x"])
def test_weights_that_are_none(wrong: bytes) -> None:
    with pytest.raises(StoreError, match="no safetensors file"):
        passes("x.safetensors", wrong)
