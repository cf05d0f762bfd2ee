"""Double precision for oracles that need it."""

from __future__ import annotations

import pytest

from deepunlearn.data.loader import Transform

pytest.register_assert_rewrite("tests.methods.oracles", "tests.methods.relabelling")


@pytest.fixture
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images come in double precision, for networks that are made so."""
    normalise = Transform.normalise
    monkeypatch.setattr(Transform, "normalise", lambda self, images: normalise(self, images).double())
