"""The contract of datasets."""

from __future__ import annotations

import pytest

from deepunlearn.list import main


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "wine"])  # images, and a table
def test_the_embedded_ones_keep_theirs(name: str) -> None:
    assert main(["dataset", name, "--check"]) == 0
