"""Which contract tests a developer runs all day: on the small network, of quick measures; `make test` has the rest."""

from __future__ import annotations

import pytest

LONG = (
    "test_it_leaves_nothing_behind",
    "test_every_hyper_parameter_matters_as_its_role_says",
    "test_its_costs_can_be_counted",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
            continue
        if item.path.name == "test_contract.py":
            arch = item.callspec.params.get("arch", "smallnet")
            if arch != "smallnet" or item.originalname in LONG:
                item.add_marker(pytest.mark.slow)
        elif getattr(item.callspec.params.get("measure"), "slow", False):
            item.add_marker(pytest.mark.slow)
