"""A function computed block by block is the function."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.metrics import blocks
from deepunlearn.metrics.blocks import ROWS, in_blocks


def rows(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.exp(one).sum(axis=1) * other
    return result


@pytest.mark.parametrize("size", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_blocks_give_the_bits_of_the_whole(size: int) -> None:
    random = np.random.default_rng(size)
    given = random.standard_normal((size, 10)), random.standard_normal(size)
    assert np.array_equal(in_blocks(rows)(*given), rows(*given))


def test_no_block_has_more_rows_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def length(values: np.ndarray) -> np.ndarray:
        seen.append(len(values))
        return np.repeat(float(len(values)), len(values))

    monkeypatch.setattr(blocks, "ROWS", 4)
    assert in_blocks(length)(np.zeros((10, 2))).tolist() == [4] * 8 + [2] * 2
    assert seen == [4, 4, 2]
