"""Running the contract tests on chosen methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from deepunlearn.core.method_config import MethodConfig
from deepunlearn.testing.small import ARCHS


def run_contract(methods: Sequence[MethodConfig]) -> int:
    """Run the tests of `contract.py` on `methods`, apart from any pytest configuration around; pytest's exit code."""
    tests = Path(__file__).with_name("contract.py")
    alone = ["-c", os.devnull, "--rootdir", str(tests.parent), "-p", "no:cacheprovider"]
    return int(pytest.main([*alone, "-q", "--color=no", str(tests)], plugins=[_Methods(methods)]))


class _Methods:
    """A pytest plugin that gives the tests their methods."""

    def __init__(self, methods: Sequence[MethodConfig]) -> None:
        self.methods = methods

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        spread(metafunc, self.methods)


def spread(metafunc: pytest.Metafunc, methods: Sequence[MethodConfig]) -> None:
    """A test for each method, for each of its hyper-parameters, on each network, as its arguments ask."""
    if "param" in metafunc.fixturenames:
        pairs = [(method, param) for method in methods for param in method.space]
        metafunc.parametrize(("method", "param"), pairs, ids=[f"{method.name}-{param}" for method, param in pairs])
    elif "method" in metafunc.fixturenames:
        metafunc.parametrize("method", methods, ids=[method.name for method in methods])
    if "arch" in metafunc.fixturenames:
        metafunc.parametrize("arch", ARCHS)
