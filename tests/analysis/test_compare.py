"""Our results beside the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.compare import against_paper, published, published_ranks
from deepunlearn.analysis.coverage import outcomes
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import collect
from deepunlearn.cli import run_main
from deepunlearn.config import method_configs
from deepunlearn.tables import main

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

LIKE_THE_PAPER = {"ft": 0.02, "msg": 0.01, "ct": 0.012, "kde": 0.03, "ngplus": 0.5, "ga": 0.95}  # RetDev


def compared(shelf: Shelf) -> dict[str, Table]:
    frame = collect(shelf.root)
    return {table.name: table for table in against_paper(rankings(frame, outcomes(frame, shelf.root)), "")}


def fill(shelf: Shelf, retdev: dict[str, float], datasets: int = 3) -> None:
    for number in range(datasets):
        ids = {"cell": f"{number}" * 16, "result_set": f"{number + 5}" * 16}
        cell = {"dataset": f"d{number}", "dataset_title": f"D{number}", **ids}
        for method, value in retdev.items():
            for seed in (0, 1):
                own = {"RetDev": value + 0.001 * seed, "Indisc": 1 - value, "RTE": 4.0 - value}
                shelf.add(method=method, method_title=method.upper(), seed=seed, **own, **cell)


def test_what_was_published_is_whole() -> None:
    table, rte = published("table1"), published("table2").set_index("method")
    assert len(table) == 36 and (table[["G1", "G2", "G3", "F"]].sum(axis=1) == 9).all()
    assert set(table["method"]) <= set(method_configs())
    assert (rte.drop(columns="average").mean(axis=1) - rte["average"]).abs().max() < 0.006
    assert published_ranks()["Indisc"].sort_values().tolist() == [
        1,
        1,
        2,
        2,
        2,
        3,
        3,
        3,
        4,
        5,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
    ]


@pytest.mark.slow
def test_results_like_the_papers_agree_with_it(shelf: Shelf) -> None:
    fill(shelf, LIKE_THE_PAPER)
    tables = compared(shelf)
    assert tables["findings"].shown["our results"].tolist() == [
        *["agrees"] * 3,
        "cannot tell: it holds for all methods that were run",
    ], "with three ranks in all everybody is in the top three"
    line = tables["paper"].shown.set_index("method").loc["GA"]
    assert line[["RetDev rank", "RetDev rank paper", "RTE", "RTE paper"]].tolist() == ["3", "4", "3.05", ""]
    assert "RetDev 0.8" in tables["paper"].caption and "(6 methods)" in tables["paper"].caption


@pytest.mark.slow
def test_results_unlike_the_papers_do_not(shelf: Shelf) -> None:
    fill(shelf, {name: 1 - value for name, value in LIKE_THE_PAPER.items()})
    said = compared(shelf)["findings"].shown["our results"].tolist()
    assert said == [*["disagrees"] * 3, "cannot tell: it holds for all methods that were run"]


def test_too_little_is_said_to_be(shelf: Shelf) -> None:
    fill(shelf, {"ft": 0.02, "ga": 0.9}, datasets=2)
    said = compared(shelf)["findings"].shown["our results"].tolist()
    assert said == ["not enough cells (2)", "not run: ngplus", "not run: msg, ct", "not run: msg, ct, kde"]
    assert "not defined (2 methods)" in compared(shelf)["paper"].caption


@pytest.mark.slow
def test_the_command(shelf: Shelf) -> None:
    fill(shelf, LIKE_THE_PAPER, datasets=1)
    assert main([f"results={shelf.root}", "compare=paper"]) == 0
    assert (shelf.root / "tables" / "findings.md").exists()
    assert main([f"results={shelf.root}"]) == 0
    assert not (shelf.root / "tables" / "findings.md").exists()
    with pytest.raises(Exception, match="paper"):
        main([f"results={shelf.root}", "compare=papers"])


def test_best_and_second_best_are_marked(shelf: Shelf) -> None:
    from deepunlearn.analysis.tables import build

    shelf.references(0, TA=0.88)
    for name, value in {"a": 0.3, "b": 0.1, "c": 0.1, "d": 0.2}.items():
        shelf.add(
            method=name, method_title=name, RetDev=value, TA=0.88 - value, Indisc=value, MIA_AUC=None, seconds=value
        )
    (table,) = [one for one in build(records.collect(shelf.root), []) if one.name == "digits-resnet18"]
    shown = table.shown.set_index("method")
    assert shown.loc[list("abcd"), "RetDev ↓ (best 0)"].str[5:].tolist() == ["", " ¹", " ¹", " ²"]
    assert shown.loc[list("abcd"), "TA"].str[5:].tolist() == ["", " ¹", " ¹", " ²"]
    assert shown.loc[list("abcd"), "Indisc ↑ (best 1)"].str[5:].tolist() == [" ¹", "", "", " ²"]
    assert not shown.loc[["original", "retrained"]].to_string().count("¹")


def test_methods_that_are_all_alike_agree_with_nothing(shelf: Shelf) -> None:
    """Seven methods of equal values are not ranked; two of them tied and the rest worse leave open which is before."""
    alike = dict.fromkeys(("ft", "msg", "ct", "kde", "ngplus", "ga", "salun"), 0.1)
    fill(shelf, alike)
    said = compared(shelf)["findings"].shown["our results"]
    assert said.str.startswith("cannot tell: ").all(), said.tolist()


def test_ties_leave_open_which_method_is_before_another(shelf: Shelf) -> None:
    fill(shelf, {**LIKE_THE_PAPER, "ngplus": 0.95})
    said = compared(shelf)["findings"].shown["our results"].tolist()
    assert said[1] == "cannot tell: the methods tie"


def test_the_papers_ranks_are_among_the_methods_that_were_run() -> None:
    """Of FT, CT and GA the counts of Table 1 give 1, 2 and 3, not 1, 3 and 11."""
    assert published_ranks(["ft", "ct", "ga"])["RetDev"].to_dict() == {"ft": 1, "ct": 2, "ga": 3}
    assert published_ranks()["RetDev"][["ft", "ct", "ga"]].tolist() == [1, 3, 11]


def test_what_forgot_something_else_is_not_put_beside_the_paper(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.add(forget_kind="classes", forget_title="class 3")
    assert run_main(main, [f"results={shelf.root}", "compare=paper"]) == 2
    told = capsys.readouterr().err
    assert "forget sets: class 3" in told and "random 10 %" in told
