"""The contract of architectures: ours keep it, and what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.list import main
from tests.plugins import ARCH, put_mine


@pytest.mark.slow
def test_our_architectures_keep_theirs() -> None:
    assert main(["arch", "--check"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dropout", "yaml", "told"),
    [
        ("nn.Dropout(0.1), ", "title: M\nblocks: 1\nstochastic: false\n", "give stochastic: true in the YAML"),
        ("", "title: M\nblocks: 2\nstochastic: false\n", "blocks: in the YAML is another number"),
        ("", "title: M\nblocks: 1\nstochastic: false\n", "8 passed"),
    ],
)
def test_an_architecture_that_breaks_it_is_told(
    dropout: str, yaml: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_mine(tmp_path, "arch", ARCH.replace("{dropout}", dropout), yaml)
    assert main(["arch", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out
