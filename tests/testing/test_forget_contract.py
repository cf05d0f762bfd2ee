"""The contract of forget sets: ours keep it, and what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.forget import ForgetSet, kind_of
from deepunlearn.list import main
from deepunlearn.registry import registered
from deepunlearn.testing import forget_contract
from tests.plugins import put, put_mine
from tests.test_adding import block, section

FORGET = (
    "import numpy as np\nfrom deepunlearn.core.forget import ForgetSet\n"
    "class Mine(ForgetSet):\n    share: float\n    unread: int = 3\n"
    "    def choose(self, candidates):\n        return {chosen}\n"
    "    def key_fields(self, data):\n        return {fields}\n"
)
KEY = "super().key_fields(data)"
NARROW = "{'forget': self.name, 'forget_ratio': self.share}"


def documented(root: Path, code: str) -> ForgetSet:
    text = section("A kind of forget set")
    put(root, "forget", "class_part", code, block(text, "yaml"))
    return kind_of("class_part", str(root / "forget" / "class_part.py")).model_validate(
        {"name": "class_part", "label": 3, "share": 0.5}
    )


def test_a_class_is_compared_with_samples_of_that_class(tmp_path: Path) -> None:
    compared = forget_contract.test_the_attack_compares_it_with_samples_of_the_same_classes
    code = block(section("A kind of forget set"), "python")
    compared(documented(tmp_path / "whole", code))
    with pytest.raises(AssertionError, match="say in `unseen`"):
        compared(documented(tmp_path / "without", code.replace("def unseen", "def unused")))
    for name in sorted(registered("forget")):
        (cell,) = read_command([f"forget={name}", *kind_of(name).contract]).sweep.cells
        compared(cell.forget)


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
        ("np.arange(round(self.share * len(candidates.rows)))", KEY, "12 passed"),
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
