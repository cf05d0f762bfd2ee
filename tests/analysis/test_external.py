"""Other people's results beside ours."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from deepunlearn.analysis import rows
from deepunlearn.analysis.aggregate import aggregate
from deepunlearn.analysis.coverage import holes, outcomes, require_complete
from deepunlearn.analysis.external import COLUMNS, ELSEWHERE, KINDS, MARK, join, remark
from deepunlearn.analysis.ranking import Ranking, rankings
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from deepunlearn.metrics import row
from deepunlearn.tables import main

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

DOCS = Path(__file__).parents[2] / "docs" / "extra.md"
SEEDS = (0, 1)
OTHER_SET = "e5f6" * 4


def line(**changes: Any) -> dict[str, Any]:
    """A line of the file; a column that is None is left out. RetDev |.5 - 1| + |.5 - 1| + |.75 - 1| = 1.25."""
    accuracies = {"RA": 0.25, "FA": 0.4, "TA": 0.3, "retrained_RA": 0.5, "retrained_FA": 0.8, "retrained_TA": 0.4}
    given = {"method": "ssd", "dataset": "digits", "arch": "resnet18", "seed": 0, **accuracies, "MIA": 0.35, **changes}
    return {name: value for name, value in given.items() if value is not None}


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for one in lines for name in one))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)
    return path


def fill(shelf: Shelf) -> None:
    """Two seeds of FT and MSG in one result set."""
    shelf.references(*SEEDS)
    for seed in SEEDS:
        shelf.add(seed=seed, RetDev=0.1, Indisc=0.9)
        shelf.add(seed=seed, method="msg", method_title="MSG", RetDev=0.6, Indisc=0.5)


@pytest.fixture
def theirs(shelf: Shelf, tmp_path: Path) -> Path:
    """A file of both seeds, to be joined to the filled shelf."""
    fill(shelf)
    return write(tmp_path / "theirs.csv", [line(seed=seed) for seed in SEEDS])


def joined(shelf: Shelf, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = rows.collect(shelf.root)
    return join(frame, outcomes(frame, shelf.root), path)


def made(shelf: Shelf, path: Path) -> pd.DataFrame:
    """The rows that were made of the file, by seed."""
    frame = joined(shelf, path)[0]
    return frame[frame["machine"] == ELSEWHERE].set_index("seed", drop=False)


def refused(shelf: Shelf, path: Path, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        joined(shelf, path)
    text = str(caught.value)
    for word in (str(path), *words):
        assert word in text, (word, text)
    return text


# ------------------------------------------------------------------------------------------------------------ the rows


def test_scores_are_computed_from_the_accuracies_and_times(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    lines = [line(seed=0, seconds=4, retrain_seconds=10), line(seed=1, seconds=4)]
    found = made(shelf, write(tmp_path / "theirs.csv", lines))
    first = found.loc[0]
    known = {
        "RA": 0.25, "FA": 0.4, "TA": 0.3, "RR": 0.5, "FR": 0.5, "TR": 0.75, "RetDev": 1.25, "MIA": 0.35, "Disc": 0.3,
        "Indisc": 0.7, "RTE": 2.5,
    }  # fmt: skip
    assert {name: first[name] for name in known} == pytest.approx(known)
    assert pd.isna(found.loc[1, "RTE"]), "one time makes no ratio"
    assert found["seconds"].isna().all() and found["retrain_seconds"].isna().all()
    assert json.loads(first["notes"])["seconds"] == 4


def test_a_row_says_where_it_is_from_and_takes_over_what_its_result_set_is(shelf: Shelf, theirs: Path) -> None:
    os.utime(theirs, (0, 86400))
    first, ours = made(shelf, theirs).loc[0], shelf.rows[-1]
    for name in ("cell", "result_set", "protocol", "search", "space", "selection", "trials", "dataset_title", "classes",
                 "arch_title", "n_forget", "train_epochs", "train_lr", "forget_ratio", "precision"):  # fmt: skip
        assert first[name] == ours[name], name
    digest = hashlib.sha256(theirs.read_bytes()).hexdigest()
    assert (first["method"], first["method_title"], first["device"]) == ("ssd", "SSD ‡", "elsewhere")
    assert (first["metrics_key"], first["date"]) == (digest, "1970-01-02T00:00:00+00:00")
    given = {name: value for name, value in line().items() if name.startswith("retrained_")}
    assert json.loads(first["notes"]) == {"extra": "theirs.csv", "sha256": digest[:16], **given}
    assert not [name for name in row.NAMES if name not in row.NULLABLE and pd.isna(first[name])]


def test_facts_of_a_result_set_are_those_of_its_latest_row(shelf: Shelf, theirs: Path) -> None:
    """A title is no part of a cell: after another one was given, older rows still have the old."""
    for seed in SEEDS:
        shelf.add(seed=seed, date="2026-02-01T00:00:00+00:00", dataset_title="New")
    assert set(made(shelf, theirs)["dataset_title"]) == {"New"}


def test_our_own_rows_and_cases_stay_as_they_are(shelf: Shelf, theirs: Path) -> None:
    shelf.expect("run1", {"method": "ct", "seed": 0})
    shelf.fail(method="ct")
    frame = rows.collect(shelf.root)
    cases = outcomes(frame, shelf.root)
    before = frame.copy(), cases.copy()
    both = join(frame, cases, theirs)
    for given, copy, result in zip((frame, cases), before, both, strict=True):
        pd.testing.assert_frame_equal(given, copy, check_exact=True)
        assert len(result) == len(copy) + len(SEEDS)
        ours = result[result["method"] != "ssd"].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, copy, check_exact=True)
    order = [*rows.MODEL, "date"]
    pd.testing.assert_frame_equal(both[0], both[0].sort_values(order, ignore_index=True))


def test_a_retrained_accuracy_of_zero_leaves_retdev_undefined(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    first = made(shelf, write(tmp_path / "theirs.csv", [line(retrained_FA=0)])).loc[0]
    assert pd.isna(first["FR"]) and pd.isna(first["RetDev"]) and first["RR"] == 0.5
    assert "0 on forget" in first["reason"]


def test_a_model_that_does_not_work_fails_the_method_and_needs_no_scores(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    lines = [line(seed=0, usable="true"), line(seed=1, usable="false", RA="", FA="", TA="", MIA="")]
    frame, cases = joined(shelf, write(tmp_path / "theirs.csv", lines))
    result = aggregate(frame, cases).set_index("method").loc["ssd"]
    assert (result["usable"], result["status"], result["reason"]) == (
        "1/2",
        "F",
        "1 not usable: reported as not usable",
    )
    assert result["RetDev_mean"] == pytest.approx(1.25)


def test_title_source_and_hyper_parameters_are_taken_over(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    more = {"title": " Selective\nDampening ", "source": "Foster, 2024", "params": '{"b": 1, "a": 0.5}'}
    first = made(shelf, write(tmp_path / "theirs.csv", [line(**more)])).loc[0]
    assert first["method_title"] == f"Selective Dampening {MARK}"
    assert first["params"] == '{"a": 0.5, "b": 1}'
    assert json.loads(first["notes"])["source"] == "Foster, 2024"


def test_spreadsheets_may_have_written_the_file(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    path = write(tmp_path / "theirs.csv", [line(seed="1.0", usable="TRUE")])
    path.write_text("\ufeff" + path.read_text().replace(",", " , ").replace(" ,", ",") + "\r\n", encoding="utf-8")
    assert made(shelf, path)["usable"].to_dict() == {1: True}


# ----------------------------------------------------------------------------------------------------- which result set


def two_sets(shelf: Shelf) -> None:
    fill(shelf)
    for seed in (0, 1, 2):
        shelf.add(seed=seed, result_set=OTHER_SET, search="given", space=None, selection=None, trials=None)


def test_of_several_result_sets_the_named_one_is_joined(shelf: Shelf, tmp_path: Path) -> None:
    two_sets(shelf)
    lines = [line(seed=0, result_set=OTHER_SET[:8]), line(seed=0, result_set="a1b2c3d4a1b2c3d4")]
    found = made(shelf, write(tmp_path / "theirs.csv", lines)).set_index("result_set")
    assert found["search"].to_dict() == {OTHER_SET: "given", "a1b2c3d4" * 2: "quick"}
    assert found["trials"].isna().to_dict() == {OTHER_SET: True, "a1b2c3d4" * 2: False}


@pytest.mark.parametrize("named", [None, "ffff", "a1b2c3d4e"])
def test_of_several_result_sets_one_must_be_named(shelf: Shelf, tmp_path: Path, named: str | None) -> None:
    two_sets(shelf)
    path = write(tmp_path / "theirs.csv", [line(result_set=named)])
    text = refused(
        shelf, path, "line 2", named or "not given", OTHER_SET, "a1b2c3d4a1b2c3d4 (protocol paper, search quick"
    )
    assert "search given, train_epochs 15)" in text


@pytest.mark.parametrize(("dataset", "arch"), [("imagenet", "resnet18"), ("digits", "vit")])
def test_the_dataset_and_arch_must_be_ours(shelf: Shelf, theirs: Path, dataset: str, arch: str) -> None:
    write(theirs, [line(), line(dataset=dataset, arch=arch, seed=1)])
    refused(shelf, theirs, "line 3", f"dataset {dataset}, arch {arch}", "digits resnet18")


def test_another_cell_of_ours_is_not_touched(shelf: Shelf, theirs: Path) -> None:
    shelf.add(dataset="mnist", dataset_title="MNIST", cell="1" * 16, result_set="1" * 16, seed=7)
    frame, cases = joined(shelf, theirs)
    assert set(frame.loc[frame["method"] == "ssd", "dataset"]) == {"digits"}
    assert set(cases.loc[cases["method"] == "ssd", "seed"]) == set(SEEDS)


# -------------------------------------------------------------------------------------------------------- missing seeds


def test_a_seed_that_the_file_lacks_is_missing(shelf: Shelf, theirs: Path) -> None:
    write(theirs, [line(seed=1)])
    frame, cases = joined(shelf, theirs)
    lost = holes(cases)
    assert lost[["method", "seed", "outcome", "why"]].to_numpy().tolist() == [
        ["ssd", 0, "missing", "not in theirs.csv"]
    ]
    with pytest.raises(ConfigError, match="digits resnet18 ssd seed 0"):
        require_complete(cases)
    assert aggregate(frame, cases).set_index("method").loc["ssd", "status"] == "incomplete"


def test_a_seed_of_ours_that_failed_is_asked_of_them(shelf: Shelf, theirs: Path) -> None:
    shelf.expect("run1", {"seed": 2})
    shelf.fail(seed=2)
    assert holes(joined(shelf, theirs)[1])["seed"].tolist() == [2]


def test_a_seed_that_the_result_set_does_not_have_is_refused(shelf: Shelf, theirs: Path) -> None:
    shelf.references(5)
    shelf.add(seed=5, result_set=OTHER_SET)
    write(theirs, [line(seed=5, result_set="a1b2c3d4")])
    refused(shelf, theirs, "line 2", "a1b2c3d4a1b2c3d4", "seed 5", "allowed: 0, 1")


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RA": 92.1}, ("line 3", "'RA'", "'92.1'", "a number from 0 to 1", "divide percentages by 100: 0.921")),
        ({"TA": "87%"}, ("'TA'", "divide percentages by 100: 0.87")),
        ({"MIA": -0.1}, ("'MIA'", "'-0.1'", "correct the line")),
        ({"FA": "nan"}, ("'FA'", "a number from 0 to 1", "correct the line")),
        ({"retrained_FA": "much"}, ("'retrained_FA'", "'much'")),
        ({"FA": ""}, ("line 3", "'FA'", "nothing", "usable is false")),
        ({"arch": "", "usable": "false"}, ("'arch'", "nothing")),
        ({"seed": -1}, ("'seed'", "a whole number, 0 or more")),
        ({"seed": 0.5}, ("'seed'", "'0.5'")),
        ({"seconds": 0}, ("'seconds'", "a number above 0")),
        ({"retrain_seconds": "inf"}, ("'retrain_seconds'", "a number above 0")),
        ({"usable": "perhaps"}, ("'usable'", "true or false")),
        ({"params": "[1]"}, ("'params'", "a JSON object")),
        ({"method": "My SSD"}, ("'method'", "lower-case letters, digits, - and _")),
    ],
)
def test_wrong_values_are_named_by_line_and_column(
    shelf: Shelf, theirs: Path, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    write(theirs, [line(seed=0), line(**{"seed": 1, **changes})])
    refused(shelf, theirs, *words)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            "method;dataset",
            ("missing: 'method', 'dataset', 'arch'", "unknown: 'method;dataset'", "separated by commas"),
        ),
        ("method,dataset,arch,seed,RA,FA,TA,MIA,RetDev", ("missing: 'retrained_RA'", "unknown: 'RetDev'")),
        ("", ("missing: 'method'",)),
        (f"{','.join(column.name for column in COLUMNS)},RA", ("twice: 'RA'",)),
    ],
)
def test_wrong_columns_are_named_with_those_that_are_allowed(
    shelf: Shelf, theirs: Path, header: str, words: tuple[str, ...]
) -> None:
    theirs.write_text(header)
    text = refused(shelf, theirs, *words)
    assert all(column.name in text.partition("allowed:")[2] for column in COLUMNS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("cannot be read", "No such file")),
        (b"\xff\xfe\x00", ("not a CSV file", "UTF-8")),
        (b'method,"RA\n', ("not a CSV file",)),
        (",".join(line()).encode(), ("has no lines",)),
        (",".join(line()).encode() + b"\n" + b"1," * 99, ("line 2: more values",)),
    ],
)
def test_files_that_cannot_be_used(shelf: Shelf, theirs: Path, content: bytes | None, words: tuple[str, ...]) -> None:
    theirs.unlink()
    if content is not None:
        theirs.write_bytes(content)
    refused(shelf, theirs, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ("line 3 contradicts", "line 2", "method ssd, dataset digits, arch resnet18, seed 0", "one line per")),
        ({"seed": 1, "title": "S"}, ("SSD and S", "one title per method")),
        ({"method": "x", "title": "SSD"}, ("ssd and x", "one method per title")),
        ({"seed": 1, "params": '{"a": 1}'}, ('{} and {"a": 1}', "the same params on all seeds")),
    ],
)
def test_lines_that_contradict_each_other(
    shelf: Shelf, theirs: Path, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    write(theirs, [line(), line(**changes)])
    refused(shelf, theirs, *words)


@pytest.mark.parametrize("method", ["ft", "ct", "retrained"])
def test_a_method_of_ours_is_refused_wherever_it_ran(shelf: Shelf, theirs: Path, method: str) -> None:
    """Tables over cells would take theirs and ours for one method."""
    other = {"method": "ct", "seed": 0, "dataset": "mnist", "cell": "1" * 16, "result_set": "1" * 16}
    shelf.expect("run1", other)
    write(theirs, [line(method=method)])
    refused(shelf, theirs, "line 2", repr(method), f"{method}-elsewhere")


def test_without_a_result_set_there_is_nothing_to_join(shelf: Shelf, tmp_path: Path) -> None:
    shelf.references(0)
    refused(shelf, write(tmp_path / "theirs.csv", [line()]), "no method was run")


# ----------------------------------------------------------------------------------------------------------- downstream


def ranked(shelf: Shelf, path: Path) -> Ranking:
    (only,) = rankings(*joined(shelf, path))
    return only


def test_theirs_are_ranked_with_ours(shelf: Shelf, theirs: Path) -> None:
    """RetDev: FT 0.1, MSG 0.6, theirs 1.25; Indisc: 0.9, 0.5, theirs 0.7."""
    ranking = ranked(shelf, theirs)
    assert ranking.ranks["RetDev"].to_dict() == {"ft": 1, "msg": 2, "ssd": 3}
    assert ranking.ranks["Indisc"].to_dict() == {"ft": 1, "ssd": 2, "msg": 3}
    assert ranking.titles["ssd"] == "SSD ‡"


def test_incomplete_methods_of_theirs_are_not_ranked(shelf: Shelf, theirs: Path) -> None:
    write(theirs, [line(seed=0)])
    ranking = ranked(shelf, theirs)
    assert set(ranking.titles) == {"ft", "msg"}
    assert "not ranked: SSD ‡" in ranking.left_out


def test_tables_show_them_marked(shelf: Shelf, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = {"seconds": 1, "retrain_seconds": 40, "params": '{"alpha": 10.0}'}
    write(theirs, [line(seed=seed, **times) for seed in SEEDS])
    assert run_main(main, [f"results={shelf.root}", f"extra={theirs}"]) == 0, capsys.readouterr().err
    folder = shelf.root / "tables"
    for name in ("digits-resnet18", "ranking", "groups", "rte-resnet18", "reliability", "hyper-parameters"):
        assert "SSD ‡" in (folder / f"{name}.md").read_text(encoding="utf-8"), name
    scores = next(text for text in (folder / "digits-resnet18.md").read_text("utf-8").splitlines() if "| SSD" in text)
    cells = [text.strip() for text in scores.split("|")]
    assert {"2/2", "1.250 ± 0.000", "40.00 ± 0.00 ¹", "n/a"} <= set(cells), scores
    assert "alpha=10" in (folder / "hyper-parameters.md").read_text(encoding="utf-8")


def test_what_captions_say(shelf: Shelf, theirs: Path) -> None:
    fine = rows.collect(shelf.root)
    assert remark(fine) == ""
    lines = [line(method=method, seed=0, source=source) for method, source in (("ssd", "A"), ("x", ""), ("b", ""))]
    write(theirs, [*lines, line(seed=1, source="B")])
    file = f"theirs.csv, sha256 {hashlib.sha256(theirs.read_bytes()).hexdigest()[:16]}"
    expected = f"‡ run elsewhere, not by this program: B ‡, X ‡ ({file}); SSD ‡ ({file}, A, B). "
    assert remark(joined(shelf, theirs)[0]) == expected


# -------------------------------------------------------------------------------------------------------- documentation


def test_the_docs_list_the_columns() -> None:
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [(column.name, "yes" if column.required else "no", column.meaning) for column in COLUMNS]
    assert {column.dtype for column in COLUMNS} == set(KINDS)


def test_the_example_in_the_docs_can_be_joined(shelf: Shelf, theirs: Path) -> None:
    example = re.search(r"```csv\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    theirs.write_text(example.group(1), encoding="utf-8")
    found = made(shelf, theirs)
    assert found["RTE"].tolist() == pytest.approx([8.0, 12.1 / 1.6])
    assert set(found["params"]) == {'{"alpha": 10, "lambda": 1}'}


def test_where_a_class_was_forgotten_whole_ratios_are_not_made_of_the_whole_test_part(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.add(RetDev=None, forget_kind="classes", forget_title="class 3", TA_retained=0.9, TA_forgotten=0.1)
    row = made(shelf, write(tmp_path / "theirs.csv", [line()])).iloc[0]
    assert row[["FR", "TR", "RetDev", "gap", "ToW"]].isna().all() and row["RR"] == 0.5
    assert (
        row["reason"].startswith("RetDev undefined: a class was forgotten whole") and row["forget_title"] == "class 3"
    )


def test_gap_is_to_the_retrained_model_that_the_line_brings(shelf: Shelf, theirs: Path) -> None:
    """0.25, 0.4 and 0.1 apart."""
    row = made(shelf, theirs).iloc[0]
    assert (row["gap"], row["ToW"]) == pytest.approx((0.25, 0.75 * 0.6 * 0.9))
