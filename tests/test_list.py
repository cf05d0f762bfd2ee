"""What there is of each kind, listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.list import main
from tests.plugins import ARCH, put_mine


def test_a_list_shows_kinds_names_and_where_they_are_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_mine(tmp_path, "arch", ARCH.replace("{dropout}", ""), "title: M\nblocks: 1\n")
    assert main([f"plugins={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "cifar10" in shown and f" mine (in {tmp_path / 'arch'})" in shown
    assert main(["arch", "resnet18"]) == 0
    assert "smallnet" not in capsys.readouterr().out


@pytest.mark.parametrize("asked", [["measure", "loss_attack"], ["method", "ft", "chain"]])
def test_a_check_of_nothing_is_no_check_that_was_passed(asked: list[str]) -> None:
    with pytest.raises(ConfigError, match="nothing to run the contract tests on"):
        main([*asked, "--check"])
