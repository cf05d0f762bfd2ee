from __future__ import annotations

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.provenance import describe
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import collect
from deepunlearn.analysis.render import Table, escape, to_latex, to_markdown
from deepunlearn.analysis.tables import build
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from deepunlearn.metrics.noise import floor_of
from deepunlearn.tables import main
from tests.analysis.conftest import Shelf

GOLDEN = Path(__file__).with_name("golden_scores.md")


OVER_CELLS = ("ranking", "groups", "differences", "neighbours", "choices", "rte-resnet18", "reliability")


def fill(shelf: Shelf) -> None:
    """Two seeds; FT fine, MSG with an unusable model, CT without one completed trial."""
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, RetDev=0.1 + 0.2 * seed, RTE=4.0 + seed, seconds=2.0 - seed / 2)
    shelf.add(method="msg", method_title="MSG", seed=0)
    shelf.add(method="msg", method_title="MSG", seed=1, usable=False, reason="weights are not finite")
    shelf.expect("run1", {"method": "ct", "seed": 0}, {"method": "ct", "seed": 1})
    shelf.fail(method="ct", kind="search_failed", stage="select", seed=None, message="no trial was completed")


def tables_of(shelf: Shelf) -> dict[str, Table]:
    found = collect(shelf.root)
    return {table.name: table for table in build(found, rankings(found.rows, found.cases))}


def run(shelf: Shelf, *options: str) -> int:
    return run_main(main, [f"results={shelf.root}", *options])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, str]:
    """A filled results folder with its tables, and what the command that wrote them has printed."""
    shelf = Shelf(tmp_path_factory.mktemp("tables") / "results")
    fill(shelf)
    with redirect_stdout(io.StringIO()) as out:
        assert run(shelf) == 0
    return shelf, out.getvalue()


def test_golden_markdown(written: tuple[Shelf, str]) -> None:
    file = written[0].root / "tables" / "digits-resnet18.md"
    assert file.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_captions_name_methods_that_were_given_the_images_their_search_takes_as_unseen(shelf: Shelf) -> None:
    for method, title in (("ft", "FT"), ("kde", "KDE"), ("ct-scrub", "CT + SCRUB")):
        shelf.add(method=method, method_title=title)
    rows = collect(shelf.root).rows
    assert describe(rows)["given validation images"].startswith("CT + SCRUB, KDE (")
    assert "given validation images" not in describe(rows[rows["method"] == "ft"])


@pytest.mark.slow
def test_captions_state_the_conditions(shelf: Shelf) -> None:
    shelf.references(0, 1, machine="old box", date="2025-12-31")
    shelf.add(seed=0, limit=None)
    shelf.add(seed=1, limit=None)
    for table in tables_of(shelf).values():
        for fact in (
            "dataset: Digits;", "arch: ResNet18;", "protocol: paper;", "search: quick;", "space: paper;",
            "selection: paper;", "trials: 20;", "seeds: 0-1;", "epochs: 15;", "batch size: 64;", "limit: none;",
            "forget ratio: 0.1;", "device: cpu;", "threads: 2;", "commit: abc1234;",
        ):  # fmt: skip
            assert fact in table.caption, (table.name, fact)
    scores = tables_of(shelf)["digits-resnet18"].caption
    assert "machine: box, old box;" in scores
    assert "dates: 2025-12-31 to 2026-01-02;" in scores


def test_limited_and_unlimited_cells_have_their_own_tables(shelf: Shelf) -> None:
    shelf.add(limit=500, cell="1" * 16, result_set="1" * 16, TA=0.7)
    shelf.add(limit=None, cell="2" * 16, result_set="2" * 16, TA=0.8)
    made = tables_of(shelf)
    own = ["coverage", "digits-resnet18-11111111", "digits-resnet18-22222222", "hyper-parameters"]
    assert sorted(set(made) - set(OVER_CELLS)) == own
    assert "limit: 500;" in made["digits-resnet18-11111111"].caption
    assert made["digits-resnet18-11111111"].shown["TA"].tolist() == ["", "0.700"]
    assert made["digits-resnet18-22222222"].shown["TA"].tolist() == ["", "0.800"]


def test_csv_holds_numbers_and_conditions(written: tuple[Shelf, str]) -> None:
    data = pd.read_csv(written[0].root / "tables/digits-resnet18.csv").set_index("method")
    assert data.loc["ft", "RetDev_mean"] == pytest.approx(0.2)
    assert data.loc["ft", ["dataset", "protocol", "batch_size", "machine"]].tolist() == ["digits", "paper", 64, "box"]
    assert data.loc["ct", "status"] == "F"


def test_distances_are_of_the_usable_models_of_one_result_set(shelf: Shelf) -> None:
    """One cell is of fewer samples, and one has two result sets of the same search."""
    far = {"L2_original_rel": 5.0, "L2_retrained_rel": 7.0}
    shelf.references(0, limit=500, **far)
    shelf.add(limit=500, **far)
    near = {"cell": "d" * 16, "L2_original_rel": 0.1, "L2_retrained_rel": 0.2}
    shelf.add(result_set="1" * 16, **near)
    shelf.add(result_set="2" * 16, **near | {"protocol": "heldout", "L2_original_rel": 0.3})
    shelf.add(result_set="2" * 16, seed=1, usable=False, reason="TA 0.1", **near | {"L2_original_rel": 900.0})
    table = tables_of(shelf)["distances"]
    own = table.shown[table.shown["method"] == "FT"]
    assert own[["result set", "to original"]].to_numpy().tolist() == [
        ["a1b2c3d4", "5"], ["11111111", "0.1"], ["22222222", "0.3"],
    ]  # fmt: skip
    assert "over seeds with a usable model" in table.caption


def test_hyper_parameters_of_each_method(shelf: Shelf) -> None:
    exact = '{"batch_size": 64, "lr": 0.00123456789}'
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed)
        shelf.add(seed=seed, method="msg", params=exact)
    table = tables_of(shelf)["hyper-parameters"]
    assert table.shown["method"].tolist() == ["FT", "FT"]
    assert table.shown["params"].tolist() == ["epochs=3, lr=0.01", "batch_size=64, lr=0.001235"]
    assert table.data["params"].tolist()[1] == exact


def test_latex_is_a_balanced_document(shelf: Shelf) -> None:
    fill(shelf)
    shelf.add(method="x", method_title="A_b & 50% #1 {x} \\ ~^<>|$", seed=0, machine="bücher_β", commit=None)
    shelf.add(method="x", method_title="A_b & 50% #1 {x} \\ ~^<>|$", seed=1)
    for table in tables_of(shelf).values():
        text = to_latex(table)
        bare = re.sub(r"\\\\|\\[&%$#_{}]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
        assert text.startswith("\\documentclass{article}")
        assert {"\\toprule", "\\midrule", "\\bottomrule"} <= set(text.split())
        body = bare.partition("\\endlastfoot")[2].partition("\\end{longtable}")[0]
        assert not set("_#%") & set(body)
        assert {line.count("&") for line in body.splitlines() if line.strip()} == {table.shown.shape[1] - 1}
        text.encode("latin-1")


@pytest.mark.slow
def test_latex_compiles_on_its_own(shelf: Shelf, pdflatex: str, tmp_path: Path) -> None:
    """Every table, over several pages, with the worst characters; nothing runs off the page by more than a letter."""
    fill(shelf)
    for number in range(60):
        shelf.add(method=f"x{number}", method_title='A_b & 50% #1 {x} \\ ~^<>|$"± ‡', seed=0, machine="bücher_β")
        shelf.add(method=f"x{number}", method_title='A_b & 50% #1 {x} \\ ~^<>|$"± ‡', seed=1)
    assert run(shelf) == 0
    alone = [path for path in sorted((shelf.root / "tables").glob("*.tex")) if "documentclass" in path.read_text()]
    assert len(alone) > 5
    for path in alone:
        command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}", str(path)]
        for _ in range(3):  # a table over several pages settles its widths in as many runs
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-3000:]
        too_wide = [float(width) for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", done.stdout)]
        assert max(too_wide, default=0) < 10, (path.name, too_wide)


def test_escape() -> None:
    assert escape("a_b 5% ± ↓ \\") == "a\\_b 5\\% $\\pm$ $\\downarrow$ \\textbackslash{}"
    assert escape("β") == "?"


def test_markdown_cells_keep_their_bars(shelf: Shelf) -> None:
    shelf.add(method_title="a|b")
    assert "| a\\|b " in to_markdown(tables_of(shelf)["digits-resnet18"])


def test_command_writes_and_prints(written: tuple[Shelf, str]) -> None:
    shelf, out = written
    assert out.startswith("## Coverage")
    assert GOLDEN.read_text(encoding="utf-8") in out
    names = ("coverage", "digits-resnet18", "hyper-parameters", *OVER_CELLS)
    assert {path.name for path in (shelf.root / "tables").iterdir()} == {
        *(f"{name}{suffix}" for name in names for suffix in (".md", ".csv", ".tex")),
        *("digits-resnet18-input.tex", "digits-resnet18-notes.tex", "seeds.csv", "README.md", "files.txt"),
    }
    assert len(pd.read_parquet(shelf.root / "records" / "rows.parquet")) == len(shelf.rows)


@pytest.mark.slow
def test_tables_of_another_name_are_removed(shelf: Shelf) -> None:
    """With a second result set the first table gets a longer name; its old file would go on telling old numbers."""
    shelf.add(result_set="1" * 16)
    assert run(shelf) == 0
    own = ("notes.md", "paper-draft.md", "paper.tex", "digits-resnet18-11111111-notes.md")
    for name in own:
        (shelf.root / "tables" / name).write_text("mine")
    shelf.add(result_set="2" * 16, seconds=3.0)
    assert run(shelf) == 0
    assert all((shelf.root / "tables" / name).read_text() == "mine" for name in own)
    assert sorted({path.name for path in (shelf.root / "tables").glob("*.md")} - {*own}) == [
        "README.md", "coverage.md", "digits-resnet18-11111111.md", "digits-resnet18-22222222.md",
        "hyper-parameters.md", "reliability.md", "rte-resnet18.md",
    ], "a ranking that can no longer be made is gone, too"  # fmt: skip


def test_holes_are_refused_and_nothing_is_written(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    fill(shelf)
    shelf.expect("run2", {"method": "iu", "seed": 0}, {"method": "iu", "seed": 1})
    assert run(shelf) == 2
    message = capsys.readouterr().err
    assert "2 of 12 expected rows are missing" in message
    assert "digits resnet18 iu seed 0, 1" in message
    assert "Traceback" not in message
    assert not (shelf.root / "tables").exists()


def test_holes_are_marked_in_every_table(shelf: Shelf) -> None:
    fill(shelf)
    shelf.expect("run2", {"method": "iu", "seed": 0}, {"method": "iu", "seed": 1})
    assert run(shelf, "partial=true") == 0
    mark = "PARTIAL: 2 of 12 expected rows are missing (digits resnet18 iu seed 0, 1)."
    for path in (shelf.root / "tables").iterdir():
        if path.suffix != ".csv" and path.name not in {"README.md", "files.txt"}:
            assert mark in path.read_text(encoding="utf-8"), path.name
    data = pd.read_csv(shelf.root / "tables/digits-resnet18.csv").set_index("method")
    assert data.loc["iu", ["status", "usable"]].tolist() == ["incomplete", "0/2"]


def test_superseded_rows_are_mentioned(shelf: Shelf) -> None:
    shelf.add(date="2026-01-01", TA=0.1)
    shelf.add(date="2026-01-02", TA=0.8)
    table = tables_of(shelf)["digits-resnet18"]
    assert table.caption.startswith("Rows replaced by later ones and left out: 1. ")
    assert table.shown["TA"].tolist() == ["", "0.800"]


def test_scores_of_different_versions_stand_side_by_side_with_a_word(shelf: Shelf) -> None:
    shelf.add(metrics_version=None)
    shelf.add(method="msg", method_title="MSG", metrics_version=2)
    for table in tables_of(shelf).values():
        assert "Scored by different versions of this program (1: FT; 2: MSG)" in table.caption, table.name


@pytest.mark.slow
def test_a_model_whose_scores_are_of_an_older_version_is_a_hole_with_its_reason(shelf: Shelf) -> None:
    for seed in (0, 1):
        shelf.add(seed=seed, metrics_version=None)
    shelf.add(seed=0, metrics_version=2)
    shelf.expect()
    assert run(shelf) == 2
    assert run(shelf, "partial=true") == 0
    assert tables_of(shelf)["digits-resnet18"].shown["why"].tolist()[1:] == [
        "1 missing: its scores are of an older version; the sweep's command makes them anew from what is stored"
    ]


@pytest.mark.slow
def test_an_attack_that_the_order_of_the_losses_contradicts_is_marked_where_it_stands(shelf: Shelf) -> None:
    """FT: losses of 1e-5 against 1e-3, Indisc sees nothing. MSG agrees, OLD has no area."""
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, MIA=0.5, Indisc=1.0, MIA_AUC=1.0 if seed else 0.5, MIA_understated=False)
        shelf.add(seed=seed, method="msg", method_title="MSG", MIA=0.7, Indisc=0.6, MIA_AUC=0.25)
        shelf.add(seed=seed, method="old", method_title="OLD", Indisc=1.0, MIA_AUC=None, MIA_understated=None)
        shelf.add(seed=seed, method="ga", method_title="GA", MIA_understated=True)
    made = tables_of(shelf)
    shown = made["digits-resnet18"].shown.set_index("method")
    marked = {name: [column for column in shown if "†" in shown.loc[name, column]] for name in shown.index}
    assert marked["FT"] == marked["GA"] == ["MIA (ideal 0.5)", "Indisc ↑ (best 1)"]
    assert not any(marked[name] for name in ("MSG", "OLD", "original", "retrained"))
    assert shown.loc["FT", "Disc_AUC ↓ (best 0)"].startswith("0.500 ± 0.707")
    assert shown.loc["MSG", "Disc_AUC ↓ (best 0)"].startswith("0.500")
    assert shown.loc["OLD", "Disc_AUC ↓ (best 0)"] == "n/a"
    assert "1 with Indisc against Disc_AUC" in shown.loc["FT", "why"]
    for name in ("digits-resnet18", "ranking", "groups"):
        assert "† Indisc and Disc_AUC disagree (FT: 1 of 2 models; GA: 2 of 2 models)" in made[name].caption


@pytest.mark.slow
def test_the_noise_floor_of_the_attack_stands_below_the_references(shelf: Shelf) -> None:
    shelf.references(0, n_test=100)
    shelf.add(n_test=100)
    table = tables_of(shelf)["digits-resnet18"]
    assert table.shown["method"].tolist() == ["original", "retrained", "no difference", "FT"]
    line, floor = table.shown.iloc[2], floor_of(100)
    assert line["Indisc ↑ (best 1)"] == f"{floor.mean:.3f} (> {floor.end:.3f})"
    assert line["Disc_AUC ↓ (best 0)"] == "0.062 (< 0.153)"
    assert line["why"] == "100 samples on each side; of Disc_AUC 122 and 100"
    assert set(line.drop(["method", "Indisc ↑ (best 1)", "Disc_AUC ↓ (best 0)", "why"])) == {""}
    assert table.data["Indisc_floor_end"].tolist() == [floor.end] * 3


def test_a_sweep_in_which_everything_failed_still_has_its_tables(shelf: Shelf) -> None:
    shelf.expect("run1", {"seed": 0}, {"method": "original", "result_set": None, "seed": 0})
    shelf.fail()
    shelf.fail(method="original", result_set=None, stage="reference")
    assert run(shelf) == 0
    assert tables_of(shelf)["digits-resnet18"].shown["status"].tolist() == ["F", "F"]


def test_no_results_say_what_makes_some(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shelf) == 2
    assert "python -m deepunlearn.sweep" in capsys.readouterr().err


def test_a_damaged_row_ends_the_command_without_a_traceback(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    path = shelf.add()
    path.write_text("{")
    assert run(shelf) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("partal=true", "did you mean 'partial'"),
        ("partial=yes", "true or false"),
        ("partial", "true or false"),
        ("results=", "results=VALUE"),
    ],
)
def test_wrong_options_teach(argument: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(main, [argument]) == 2
    assert words in capsys.readouterr().err


def test_options_keep_their_defaults() -> None:
    defaults: dict[str, Any] = {"results": "results", "partial": False}
    assert parse_options([], defaults) == defaults
    assert parse_options(["partial=true", "results=a=b"], defaults) == {"results": "a=b", "partial": True}
    with pytest.raises(ConfigError, match="unknown option 'x'"):
        parse_options(["x=1"], defaults)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(main, ["--help"]) == 0
    assert "partial=true" in capsys.readouterr().out


@pytest.mark.slow
def test_analysis_and_metrics_import_no_torch() -> None:
    """A laptop without torch makes tables; a fresh process, for this one may have torch loaded by other tests."""
    code = (
        "import sys, deepunlearn.tables, deepunlearn.report, deepunlearn.ulira.attack; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
