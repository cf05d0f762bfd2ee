"""Work in another process."""

from __future__ import annotations

import os

import pytest

from deepunlearn.instruments.apart import Apart


class Adder:
    def __init__(self, start: int) -> None:
        self.start = start

    def begin(self) -> None:
        self.total = self.start

    def add(self, number: int) -> tuple[int, int]:
        if number < 0:
            raise ValueError("a negative number")
        self.total += number
        return self.total, os.getpid()


@pytest.mark.slow
def test_a_script_keeps_its_state_and_hands_over_its_errors() -> None:
    apart = Apart(Adder(10))
    total, process = apart.call("add", 1)
    assert total == 11 and process != os.getpid()
    with pytest.raises(ValueError, match="a negative number"):
        apart.call("add", -1)
    apart.ask("add", 2)
    assert apart.answer() == (13, process)
    apart.close()
