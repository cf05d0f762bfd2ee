"""Which contract tests a developer runs all day: those on the small network; the others are of `make test`."""

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
        if isinstance(item, pytest.Function) and item.path.name == "test_contract.py":
            arch = item.callspec.params.get("arch", "smallnet")
            if arch != "smallnet" or item.originalname in LONG:
                item.add_marker(pytest.mark.slow)
