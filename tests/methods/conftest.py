"""Double precision for oracles that need it, and which contract tests a developer runs all day.

Those on the small network; the others are of `make test`.
"""

from __future__ import annotations

import pytest

from deepunlearn.data.loader import Transform

pytest.register_assert_rewrite("tests.methods.oracles", "tests.methods.relabelling")
LONG = ("test_it_leaves_nothing_behind", "test_every_hyper_parameter_matters_as_its_role_says")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.path.name == "test_contract.py":
            arch = item.callspec.params.get("arch", "smallnet")
            if arch != "smallnet" or item.originalname in LONG:
                item.add_marker(pytest.mark.slow)


@pytest.fixture
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images come in double precision, for networks that are made so."""
    normalise = Transform.normalise
    monkeypatch.setattr(Transform, "normalise", lambda self, images: normalise(self, images).double())
