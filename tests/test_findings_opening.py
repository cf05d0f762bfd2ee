"""The README's first table and figure: what they say of the committed records, and of records changed on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import findings_opening
import pytest
from findings_cells import CIFAR, METHODS, MNIST, NEWER, PAPER

from deepunlearn.analysis.records import Records


@pytest.fixture(scope="module")
def records() -> Records:
    return findings_opening.gathered()


def lines(of: Records) -> dict[str, list[str]]:
    """Method -> its six texts, in the order of the table."""
    split = [[one.strip() for one in line.split("|")[1:-1]] for line in findings_opening.table(of).splitlines()]
    assert split[0][0] == "method" and {*split[1]} == {"---"}
    return {name: texts for name, *texts in split[2:]}


def with_values(of: Records, run: str, method: str, column: str, values: float | list[bool]) -> Records:
    """The records with other values of the ten models of a method that the sweep `run` asked for."""
    asked = of.cases[of.cases["run"].str.startswith(f"{run}-") & (of.cases["method"] == method)]
    tables = {"rows": of.rows.copy(), "cases": of.cases.copy()}
    for table in (table for table in tables.values() if column in table):
        own = table["result_set"].isin(asked["result_set"]) & (table["method"] == method)
        assert own.sum() == 10
        table.loc[own, column] = values
    return replace(of, rows=tables["rows"], cases=tables["cases"])


def test_a_line_has_mean_and_deviation_of_the_rows_of_its_run(records: Records) -> None:
    made, rows = lines(records), records.rows
    for run, place in (("findings", 0), ("findings_mnist", 3)):
        asked = records.cases[records.cases["run"].str.startswith(f"{run}-")]
        for method, title in (("srl", "SRL"), ("msg", "MSG")):
            of_set = asked[asked["method"] == method]["result_set"].iloc[0]
            own = rows[(rows["result_set"] == of_set) & (rows["method"] == method)]
            assert len(own) == 10
            for at, score in enumerate(("RetDev", "Indisc", "RTE")):
                told = made[title][place + at].removesuffix(" ¹")
                assert told == f"{own[score].mean():.2f} ± {own[score].std():.2f}", (run, method, score)


def test_all_methods_of_the_design_are_there_and_newer_ones_in_the_first_cell_alone(records: Records) -> None:
    made = lines(records)
    assert len(made) == 2 + len(METHODS[CIFAR]) and list(made)[:2] == ["original", "retrained"]
    assert sum(texts[3:] == [""] * 3 for texts in made.values()) == len(NEWER)
    assert all(len(texts) == 6 and "nan" not in " ".join(texts) for texts in made.values())
    assert sum("not run" in " ".join(texts) for texts in made.values()) == 0
    assert METHODS[MNIST] == PAPER


def test_a_model_that_is_not_usable_makes_its_method_fail_and_come_last(records: Records) -> None:
    made = lines(with_values(records, "findings", "srl", "usable", [False, *[True] * 9]))
    assert made["SRL"][:3] == ["F (9/10)", "F", "F"]
    assert made["SRL"][3:] == lines(records)["SRL"][3:]
    behind = list(made)[list(made).index("SRL") :]
    assert all(made[name][0].startswith("F") for name in behind)


def test_who_is_told_apart_from_the_best_has_no_mark(records: Records) -> None:
    made = lines(records)
    assert made["SRL"][0].endswith(" ¹") and not made["JiT"][0].endswith(" ¹") and "¹" not in made["SRL"][2]
    far = lines(with_values(records, "findings", "srl", "RetDev", 5.0))
    assert not far["SRL"][0].endswith(" ¹")
    best = [name for name, texts in far.items() if texts[0].endswith("¹")]
    assert list(far)[2] == best[0]


def test_the_figure_is_a_picture_of_the_first_cell(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings_opening, "PICTURE", tmp_path / "findings.png")
    findings_opening.draw(records)
    drawn = (tmp_path / "findings.png").read_bytes()
    assert drawn.startswith(b"\x89PNG") and len(drawn) > 20_000
