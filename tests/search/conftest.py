"""Trials that are scored by arithmetic."""

from __future__ import annotations

import pytest

from deepunlearn.search import study as study_module
from tests.search.arithmetic import arithmetic


@pytest.fixture
def arithmetic_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "score_model", arithmetic)
