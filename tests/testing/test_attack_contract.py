"""The contract of attacks: what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.list import main
from tests.plugins import put_mine

ATTACK = "import numpy as np\ndef membership(logits, labels):\n    return {}\n"
FAVOUR = "logits[np.arange(len(labels)), labels] - logits.mean(axis=1)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (f"-({FAVOUR})", "give likelier members the higher number"),
        (f"({FAVOUR}) / np.abs({FAVOUR}).max()", "D_F and D_T are scored apart"),
        ("logits", "gives no membership scores"),
        (FAVOUR, "5 passed"),
    ],
)
def test_an_attack_that_breaks_it_is_told(
    scores: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_mine(tmp_path, "attack", ATTACK.format(scores), "version: 1\ntitle: favour\nsource: a test\ncolumn: Favour\n")
    assert main(["attack", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out


@pytest.mark.slow
def test_ours_keep_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", "--check"]) == 0, capsys.readouterr().out
