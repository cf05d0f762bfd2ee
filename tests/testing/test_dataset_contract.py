"""The contract of datasets."""

from __future__ import annotations

import pytest

from deepunlearn.list import main


@pytest.mark.slow
def test_the_digits_keep_theirs() -> None:
    assert main(["dataset", "digits", "--check"]) == 0
