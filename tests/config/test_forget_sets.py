"""Forget sets as an axis: kinds, their values, cells of sweep files, and names that tell cells apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.schema import CellConfig
from tests.commands import refusal

SMALL = ("dataset=digits", "arch=smallnet", "method=ft", "search=none")


def cells(*arguments: str) -> tuple[CellConfig, ...]:
    return read_command([*SMALL, *arguments]).sweep.cells


def values(*arguments: str) -> list[dict[str, Any]]:
    """What is set of each forget set."""
    return [cell.forget.model_dump(exclude={"module", "code"}, exclude_none=True) for cell in cells(*arguments)]


def sweep_file(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"# for a test\n{text}")
    return f"sweep={path}"


def test_without_a_word_there_is_one_forget_set_and_no_cell_says_it() -> None:
    (cell,) = cells()
    assert cell.forget.title == "random 10 %" and cell.name == "digits/smallnet"
    (given,) = cells("forget=random", "forget.ratio=0.1")
    assert (given.name, given.forget.title) == (cell.name, cell.forget.title)


def test_values_of_a_kind_are_a_grid() -> None:
    made = cells("-m", "forget.ratio=0.01,0.1,0.2")
    assert [cell.forget.title for cell in made] == ["random 1 %", "random 10 %", "random 20 %"]
    assert [cell.name for cell in made] == [
        "digits/smallnet/random(ratio=0.01)", "digits/smallnet", "digits/smallnet/random(ratio=0.2)",
    ]  # fmt: skip


@pytest.mark.slow
def test_kinds_are_an_axis_and_each_takes_the_values_that_it_has() -> None:
    """`ratio` is of the one, `noise` of the other: neither refuses what is not its own."""
    found = values("forget=random,mislabelled", "forget.ratio=0.05,0.2", "forget.noise=0.1,0.3")
    assert [(one["name"], one.get("ratio"), one.get("noise")) for one in found] == [
        ("random", 0.05, None), ("random", 0.2, None), ("mislabelled", None, 0.1), ("mislabelled", None, 0.3),
    ]  # fmt: skip


def test_a_value_of_one_kind_wins_over_that_of_all_in_whatever_order() -> None:
    for order in (1, -1):
        given = ["forget.mislabelled.known=0.5", "forget.known=0.8"][::order]
        assert [one["known"] for one in values("forget=mislabelled", *given)] == [0.5]


def test_values_multiply_and_equal_cells_count_once() -> None:
    found = values("forget=mislabelled", "forget.noise=0.1,0.2,0.10", "forget.flip=uniform,pairs")
    assert [(one["noise"], one["flip"]) for one in found] == [
        (0.1, "uniform"), (0.1, "pairs"), (0.2, "uniform"), (0.2, "pairs"),
    ]  # fmt: skip


def test_it_multiplies_with_the_other_axes() -> None:
    made = read_command(["dataset=digits,mnist", "arch=smallnet", "method=ft,ct", "forget.ratio=0.1,0.2"]).sweep
    assert len(made.cells) == 4 and len({cell.name for cell in made.cells}) == 4 and len(made.methods) == 2


@pytest.mark.slow
def test_a_cell_of_a_sweep_file_names_a_forget_set_or_says_its_values(tmp_path: Path) -> None:
    file = sweep_file(
        tmp_path,
        """
cells:
  - {dataset: digits, arch: smallnet}
  - {dataset: digits, arch: smallnet, forget: mislabelled}
  - {dataset: digits, arch: smallnet, forget: {name: random, ratio: 0.05}}
methods: [ft]
overrides: [search=none, "forget.ratio=0.2,0.3", forget.noise=0.2]
""",
    )
    made = read_command([file]).sweep.cells
    assert [cell.forget.title for cell in made] == [
        "random 20 %", "random 30 %", "20 % wrong labels (uniform)", "random 5 %",
    ]  # fmt: skip
    assert [cell.forget.title for cell in read_command([file, "forget.ratio=0.4"]).sweep.cells] == [
        "random 40 %", "20 % wrong labels (uniform)",
    ], "a command wins over the file, and equal cells count once"  # fmt: skip
    assert [cell.forget.title for cell in read_command([file, "forget=random"]).sweep.cells] == [
        "random 20 %", "random 30 %",
    ]  # fmt: skip


def test_a_kind_in_overrides_is_that_of_cells_that_name_none_and_a_command_replaces_it_with_its_values(
    tmp_path: Path,
) -> None:
    file = sweep_file(
        tmp_path,
        """
cells: [{dataset: digits, arch: smallnet}]
methods: [ft]
overrides: [search=none, forget=mislabelled, forget.noise=0.3]
""",
    )
    assert [cell.forget.title for cell in read_command([file]).sweep.cells] == ["30 % wrong labels (uniform)"]
    assert [cell.forget.title for cell in read_command([file, "forget=random"]).sweep.cells] == ["random 10 %"]


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["forget.halvings=12"], "of forget=halves, not of forget=random", "add forget=halves"),
        (["forget=random,mislabelled", "forget.rate=1"], "unknown option 'forget.rate'", "forget.ratio"),
        (["forget.mislabelled.noise=0.1"], "not chosen", "add mislabelled to forget="),
        (["forget=random,class"], "unknown forget 'class'", "mislabelled"),
        (["forget.ratio=0.1,2"], "forget.ratio", "forget.ratio=VALUE"),
        (["forget.ratio=interval(0,1)"], "cannot be counted", "forget.ratio=A,B"),
        (["forget.name=halves"], "set by the choice of forget", "write forget=halves"),
        (["forget=random forget"], "no name", "forget="),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(arguments: list[str], problem: str, remedy: str) -> None:
    wrong = refusal(*SMALL, *arguments)
    assert problem in f"{wrong}" and remedy in f"{wrong}"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{dataset: digits, arch: smallnet, forget: {ratio: 0.1}}", "unknown forget"),
        ("{dataset: digits, arch: smallnet, forget: {name: random, noise: 0.1}}", "not of forget=random"),
        ("{dataset: digits, arch: smallnet, forgets: random}", "does not name a dataset and an arch"),
        ("{dataset: digits, forget: random}", "does not name a dataset and an arch"),
    ],
)
def test_what_is_wrong_in_a_cell_is_named(tmp_path: Path, cell: str, said: str) -> None:
    assert said in f"{refusal(sweep_file(tmp_path, f'cells: [{cell}]'))}"


def test_long_values_are_a_digest_in_a_name_and_differ_where_they_do() -> None:
    many = [cells("forget=mislabelled", f"forget.known=0.{digit * 40}")[0].name for digit in "12"]
    assert len(set(many)) == 2 and all(len(name) < 60 for name in many)


def test_a_file_of_hyper_parameters_may_name_the_forget_set_and_one_of_an_earlier_version_does_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "hparams.yaml"
    file.write_text("digits/smallnet/ft: {lr: 0.3}\ndigits/smallnet/random(ratio=0.2)/ft: {lr: 0.1}\n")
    sweep = read_command([*SMALL, f"hparams={file}", "forget.ratio=0.1,0.2,0.3"]).sweep
    keys = [CellKeys(cell, "ab" * 32, 10, lambda seed: {}) for cell in sweep.cells]
    assert [one.given(sweep, sweep.methods[0])["lr"] for one in keys] == [0.3, 0.1, 0.3]
