"""Tables in the paper's layout: its own numbers give its tables, and ours appear where they can be trusted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis.compare import published
from deepunlearn.analysis.paper_layout import METRICS, _fastest, _leaders, table1, table2
from deepunlearn.analysis.render import Table, to_input, to_markdown, to_notes
from deepunlearn.tables import main

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

RANKS = {  # as printed in the paper's table 1
    "RetDev": "ft 1 msg 1 prmq 2 ct 3 kde 3 cfw 3 fcs 4 salun 4 ngplus 5 srl 5 scrub 6 bt 7 rni 7 cfk 8 iu 9 euk 10 "
    "ga 11 ff 12",
    "Indisc": "ct 1 msg 1 cfw 2 rni 2 kde 2 ft 3 prmq 3 salun 3 srl 4 ngplus 5 fcs 5 scrub 6 bt 7 cfk 8 euk 9 ga 10 "
    "iu 11 ff 12",
}
ENDS = (".csv", ".md", ".tex", "-input.tex", "-notes.tex")
AVERAGES = {"msg": "5.29", "cfw": "5.11", "prmq": "4.54", "ct": "10.59", "kde": "5.00", "ft": "5.69"}  # of its table 2


def of_the_paper() -> pd.DataFrame:
    table = published("table1")
    counts = {metric: table[table["metric"] == metric].set_index("method").drop(columns="metric") for metric in METRICS}
    return table1(counts, {method: method for method in table["method"]})


@pytest.mark.parametrize("metric", METRICS)
def test_the_papers_counts_give_its_table_1(metric: str) -> None:
    half = of_the_paper().filter(like=METRICS[metric])
    half.columns = half.columns.str.rpartition(": ").get_level_values(2)
    words = RANKS[metric].split()
    assert dict(zip(half["Method"], half["Rank"], strict=True)) == dict(zip(words[::2], words[1::2], strict=True))
    assert list(half["Rank"].astype(int)) == sorted(half["Rank"].astype(int))
    ga = half.set_index("Method").loc["ga", ["G1", "G2", "G3", "F"]]
    assert list(ga) == {"RetDev": ["0", "1", "7", "1"], "Indisc": ["0", "4", "4", "1"]}[metric]


def test_the_papers_table_2_gives_its_averages() -> None:
    means = published("table2").set_index("method").drop(columns="average")
    made = table2(means, {method: method for method in means.index})
    assert dict(zip(made["Unlearner"], made["Average"], strict=True)) == AVERAGES
    means.loc["ct", "utkface"] = np.nan
    line = table2(means, {method: method for method in means.index}).set_index("Unlearner").loc["ct"]
    assert line["utkface"] == line["Average"] == "n/a" and line["mnist"] == "5.83"


def fill(shelf: Shelf, seeds: int) -> None:
    """Methods that are far apart; the fourth is not among the first three ranks."""
    for number in range(3):
        ids = {"cell": f"{number}" * 16, "result_set": f"{number + 5}" * 16}
        cell = {"dataset": f"d{number}", "dataset_title": f"D{number} & Co", **ids}
        for place, method in enumerate(["msg", "ct", "ngplus", "ga"]):
            for seed in range(seeds):
                value = (0.01, 0.1, 0.4, 0.9)[place] + 0.001 * ((seed * 7 + place) % 5)
                own = {"RetDev": value, "Indisc": 1 - value, "RTE": 4.0 - place + number}
                shelf.add(method=method, method_title=method.upper(), seed=seed, **own, **cell)


def made(shelf: Shelf, tmp_path: Path) -> dict[str, Path]:
    assert main([f"results={shelf.root}"]) == 0
    return {path.name: path for path in (shelf.root / "tables").glob("paper-table*")}


@pytest.mark.slow
def test_they_stand_beside_ours_where_places_have_intervals(shelf: Shelf, tmp_path: Path, pdflatex: str) -> None:
    fill(shelf, seeds=6)
    files = made(shelf, tmp_path)
    assert set(files) == {f"paper-table{number}{end}" for number in (1, 2) for end in ENDS}
    second = files["paper-table2.md"].read_text()
    assert re.search(r"\| MSG +\| 4\.00 +\| 5\.00 +\| 6\.00 +\| 5\.00 +\|", second)
    assert (shelf.root / "tables" / "ranking.md").exists(), "ours, with intervals"
    scores = [path.name.removesuffix("-input.tex") for path in (shelf.root / "tables").glob("d*-input.tex")]
    assert sorted(scores) == [f"d{number}-resnet18" for number in range(3)]
    names = ["paper-table1", "paper-table2", *scores]
    inputs = "".join(f"\\input{{{name}-input}}\\input{{{name}-notes}}\n" for name in names)
    refers = "".join(f"\\ref{{tab:{name}}}" for name in names)
    document = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n"
    (shelf.root / "tables" / "paper.tex").write_text(f"{document}{inputs}{refers}\\end{{document}}\n")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}", "paper.tex"]
    for _ in range(2):  # references are known in the second
        done = subprocess.run(command, cwd=shelf.root / "tables", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "undefined references" not in done.stdout and "Overfull \\hbox" not in done.stdout


@pytest.mark.slow
def test_they_are_not_made_of_two_seeds(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf, seeds=2)
    assert not made(shelf, tmp_path)


def test_what_a_paper_shows_has_headers_that_span_and_its_notes_apart() -> None:
    shown = of_the_paper()
    table = Table("t", "Title", "A caption.", shown, shown, paper=_leaders(shown))
    text = to_input(table, _leaders(shown))
    assert text.count("\\multicolumn{6}{c}") == 2 and "\\toprule" in text and "documentclass" not in text
    assert "\\caption{Title.}" in text and "\\label{tab:t}" in text
    assert "A caption." not in text and "A caption." in to_notes(table)
    assert to_markdown(table).index("| Retention") < to_markdown(table).index("A caption."), "the table first"


def test_the_best_is_bold_and_the_second_underlined() -> None:
    """Of the paper: in the mean of table 2 CT is fastest; in table 1 FT and MSG share the first rank."""
    means = published("table2").set_index("method").drop(columns="average")
    shown = _fastest(table2(means, {method: method for method in means.index}))
    average = shown.set_index("Unlearner")["Average"]
    assert average["ct"] == "10.59 ¹" and average["ft"] == "5.69 ²" and average["kde"] == "5.00"
    text = to_input(Table("t", "T", "", shown, shown), shown)
    assert "\\textbf{10.59}" in text and "\\underline{5.69}" in text and "¹" not in text
    halves = _leaders(of_the_paper()).filter(like="Retention Deviation: Method").iloc[:, 0].tolist()
    assert halves[:3] == ["ft ¹", "msg ¹", "prmq ²"]


def test_a_tie_is_bold_twice_and_nothing_without_a_value() -> None:
    shown = _fastest(pd.DataFrame({"Unlearner": ["a", "b", "c"], "Average": ["2.00", "2.00", "n/a"]}))
    assert shown["Average"].tolist() == ["2.00 ¹", "2.00 ¹", "n/a"]
