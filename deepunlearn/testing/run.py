"""Running the contract tests of a kind on chosen ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deepunlearn.testing.small import ARCHS

_MEANT = "meant"
Test = TypeVar("Test", bound=Callable[..., None])
CONTRACTS = {
    "method": "contract.py",
    "arch": "arch_contract.py",
    "dataset": "dataset_contract.py",
    "forget": "forget_contract.py",
    "measure": "measure_contract.py",
    "attack": "attack_contract.py",
}


def run_contract(kind: str, configs: Sequence[Any]) -> int:
    """Run the tests of a kind on these configurations, apart from any pytest configuration around; its exit code."""
    tests = Path(__file__).with_name(CONTRACTS[kind])
    alone = ["-c", os.devnull, "--rootdir", str(tests.parent), "-p", "no:cacheprovider"]
    return int(pytest.main([*alone, "-q", "--color=no", str(tests)], plugins=[_Chosen(kind, configs)]))


class _Chosen:
    """A pytest plugin that gives the tests what they are to be run on."""

    def __init__(self, kind: str, configs: Sequence[Any]) -> None:
        self.kind, self.configs = kind, configs

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        spread(metafunc, self.kind, self.configs)


def only(meant: Callable[..., bool]) -> Callable[[Test], Test]:
    """Marks a test that says nothing of some: it is run on those for which `meant` is true, given what it is given."""

    def mark(test: Test) -> Test:
        setattr(test, _MEANT, meant)
        return test

    return mark


def spread(metafunc: pytest.Metafunc, kind: str, configs: Sequence[Any]) -> None:
    """A test for each of these; of methods also for each hyper-parameter and on each network, as its arguments ask."""
    meant = getattr(metafunc.function, _MEANT, lambda *_: True)
    if kind == "method" and "arch" in metafunc.fixturenames:
        metafunc.parametrize("arch", ARCHS)
    if "param" in metafunc.fixturenames:
        pairs = [(method, param) for method in configs for param in method.space if meant(method, param)]
        metafunc.parametrize(("method", "param"), pairs, ids=[f"{method.name}-{param}" for method, param in pairs])
    elif kind in metafunc.fixturenames:
        chosen = [config for config in configs if meant(config)]
        metafunc.parametrize(kind, chosen, ids=[config.name for config in chosen])
