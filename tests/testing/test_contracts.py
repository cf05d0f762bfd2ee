"""The contracts of architectures, datasets, forget sets and measures: ours keep them, and what breaks one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.list import main
from deepunlearn.registry import registered

ARCH = (
    "from torch import nn\n"
    "def build(classes, image_size):\n"
    "    features = (nn.Conv2d(3, 4, 3), {dropout}nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    "    return nn.Sequential(*features, nn.Linear(4, classes))\n"
    "PARTS = {'blocks': '0'}\n"
)
FORGET = (
    "import numpy as np\nfrom deepunlearn.core.forget import ForgetSet\n"
    "class Mine(ForgetSet):\n    share: float\n    unread: int = 3\n"
    "    def choose(self, candidates):\n        return {chosen}\n"
    "    def key_fields(self):\n        return {fields}\n"
)
KEY = "super().key_fields()"
NARROW = "{'forget': self.name, 'forget_ratio': self.share}"


def put(root: Path, kind: str, code: str, yaml: str) -> None:
    folder = root / kind
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(code)
    (folder / "mine.yaml").write_text(f"# mine\nname: mine\n{yaml}")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registered("forget")))
def test_our_forget_sets_keep_theirs(name: str) -> None:
    assert main(["forget", name, "--check"]) == 0


@pytest.mark.slow
def test_our_architectures_and_the_digits_keep_theirs() -> None:
    assert main(["arch", "--check"]) == 0
    assert main(["dataset", "digits", "--check"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dropout", "yaml", "told"),
    [
        ("nn.Dropout(0.1), ", "title: M\nblocks: 1\nstochastic: false\n", "give stochastic: true in the YAML"),
        ("", "title: M\nblocks: 2\nstochastic: false\n", "blocks: in the YAML is another number"),
        ("", "title: M\nblocks: 1\nstochastic: false\n", "7 passed"),
    ],
)
def test_an_architecture_that_breaks_it_is_told(
    dropout: str, yaml: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "arch", ARCH.replace("{dropout}", dropout), yaml)
    assert main(["arch", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "fields", "told"),
    [
        ("np.random.RandomState().permutation(len(candidates.rows))[:100]", KEY, "test_equal_seeds_choose_the_same"),
        ("np.arange(100)", NARROW, "unread is not part of identity"),
        ("np.arange(round(self.share * len(candidates.rows)))", KEY, "6 passed"),
    ],
)
def test_a_forget_set_that_breaks_it_is_told(
    chosen: str, fields: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "forget", FORGET.replace("{chosen}", chosen).replace("{fields}", fields), "share: 0.1\nunread: 3\n")
    assert main(["forget", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "code", "told"),
    [
        ("lower", "outputs.logits['forget'].max(axis=1).mean()", "7 passed"),
        ("higher", "outputs.logits['forget'].max(axis=1).mean()", "better: higher is the wrong way round"),
        ("neither", "0.5", "four different models get the same values"),
    ],
)
def test_a_measure_that_breaks_it_is_told(
    better: str, code: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = f"""version: 1
title: Mine
source: a test
kind: score
needs: [logits]
columns:
  - {{name: Mine, low: null, better: {better}, meaning: the largest logit}}
"""
    put(tmp_path, "measure", f"def measure(outputs):\n    return {{'Mine': float({code})}}\n", yaml)
    assert main(["measure", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out


def test_a_list_shows_kinds_names_and_where_they_are_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "arch", ARCH.replace("{dropout}", ""), "title: M\nblocks: 1\n")
    assert main([f"plugins={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "cifar10" in shown and f" mine (in {tmp_path / 'arch'})" in shown
    assert main(["arch", "resnet18"]) == 0
    assert "smallnet" not in capsys.readouterr().out
