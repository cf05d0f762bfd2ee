"""Files of hyper-parameters: what cannot be used is told with the file and the entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from tests.commands import refusal

CELL = ("dataset=digits", "arch=smallnet", "method=ft")


def test_a_value_that_is_fixed_is_not_another_one_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    file.write_text("digits/smallnet/ft: {lr: 0.02}\n")
    said = refusal(*CELL, f"hparams={file}", "method.params.lr=0.1")
    assert str(file) in said.problem and said.given == "lr=0.1, and lr=0.02 in the entry digits/smallnet/ft"
    assert "leave lr out" in said.remedy
    for same in ("method.params.lr=2e-2", "method.params.epochs=3"):
        assert read_command([*CELL, f"hparams={file}", same]).sweep.hparams == {"digits/smallnet/ft": {"lr": 0.02}}


@pytest.mark.parametrize("option", ["hparams", "search.winners"])
@pytest.mark.parametrize("values", ["{lr: fast}", "{rate: 0.1}"])
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, option: str, values: str) -> None:
    file = tmp_path / "h.yaml"
    file.write_text(f"mnist/vit/ga: {{lr: fast}}\nmnist/vit/ft: {values}\n")
    said = refusal(*CELL, f"{option}={file}")
    where = f"the entry mnist/vit/ft of {option}={file}"
    assert said.problem.endswith(where) and said.remedy == f"correct {where}"


@pytest.mark.parametrize("name", ["3", "[a,b]"])
def test_what_is_no_name_of_a_file_is_refused_like_one_that_is_not_there(name: str) -> None:
    assert refusal(*CELL, f"hparams={name}").problem == "there is no such file of hyper-parameters"


def test_an_entry_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("3: {lr: 0.1}")
    assert "does not hold hyper-parameters" in refusal(*CELL, f"hparams={tmp_path / 'h.yaml'}").problem
