"""The contract that every method keeps, on all methods that are discovered here."""

from __future__ import annotations

import pytest

from deepunlearn.config import method_configs
from deepunlearn.testing.contract import *  # noqa: F403  the tests
from deepunlearn.testing.run import spread

METHODS = list(method_configs().values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    spread(metafunc, "method", METHODS)
