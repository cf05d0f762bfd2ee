"""The contract of forget sets: ours keep it, and what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.list import main
from deepunlearn.registry import registered
from tests.plugins import put_mine

FORGET = (
    "import numpy as np\nfrom deepunlearn.core.forget import ForgetSet\n"
    "class Mine(ForgetSet):\n    share: float\n    unread: int = 3\n"
    "    def choose(self, candidates):\n        return {chosen}\n"
    "    def key_fields(self, data):\n        return {fields}\n"
)
KEY = "super().key_fields(data)"
NARROW = "{'forget': self.name, 'forget_ratio': self.share}"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registered("forget")))
def test_our_forget_sets_keep_theirs(name: str) -> None:
    assert main(["forget", name, "--check"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "fields", "told"),
    [
        ("np.random.RandomState().permutation(len(candidates.rows))[:100]", KEY, "test_equal_seeds_choose_the_same"),
        ("np.arange(100)", NARROW, "unread is not part of identity"),
        ("np.arange(round(self.share * len(candidates.rows)))", KEY, "11 passed"),
    ],
)
def test_a_forget_set_that_breaks_it_is_told(
    chosen: str, fields: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_mine(
        tmp_path, "forget", FORGET.replace("{chosen}", chosen).replace("{fields}", fields), "share: 0.1\nunread: 3\n"
    )
    assert main(["forget", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out
