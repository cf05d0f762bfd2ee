"""The contract of architectures: ours keep it, and what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.list import main
from deepunlearn.registry import get
from deepunlearn.testing import arch_contract
from tests.plugins import ARCH, put_mine


@pytest.mark.slow
def test_our_architectures_keep_theirs() -> None:
    assert main(["arch", "--check"]) == 0


def test_probabilities_are_no_logits(tmp_path: Path) -> None:
    code = ARCH.replace("{dropout}", "").replace("nn.Linear(4, classes))", "nn.Linear(4, classes), nn.Softmax(1))")
    own = get("arch", "mine", put_mine(tmp_path, "arch", code, "title: M\n"))
    arch = ArchConfig(name="mine", title="M", module=own.module)
    with pytest.raises(AssertionError, match="leave the softmax at the end out"):
        arch_contract.test_it_gives_finite_logits_for_any_number_of_classes(arch)


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
