"""The matrix of cheats: its rule by enumeration, the cheats themselves in a tiny run, and what the page says of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from deepunlearn.analysis.records import collect
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from scripts import cheats
from scripts.cheats import CHEATS, METHODS, Verdict, combinations, failing_by_chance, put, verdict

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cheats.md"
TINY = {name: {} for name in ("unchanged", "destroyed", "new_head", "flipped", "flipped_some")} | {
    "softened": {"factor": 0.1},
    "sharpened": {"factor": 100.0},
    "mislabelled": {"lr": 0.05, "batch_size": 64, "epochs": 3},
    "again": {"lr": 0.05, "weight_decay": 5e-4, "batch_size": 64, "epochs": 10},
    **{name: {"lr": 0.05, "weight_decay": 5e-4, "batch_size": 64, "epochs": 1} for name in METHODS},
}


def column(better: str, best: float | None = None) -> Column:
    return Column.model_validate({"name": "X", "meaning": "x", "better": better, "best": best})


# --------------------------------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize(("models", "honest", "sides"), [(3, 3, 1), (5, 4, 1), (5, 5, 1), (3, 4, 2), (4, 6, 2)])
def test_honest_models_fail_as_often_as_counting_all_orders_says(models: int, honest: int, sides: int) -> None:
    orders = list(itertools.combinations(range(models + honest), honest))  # places of the honest ones
    above = [models + honest - 1 - max(places) for places in orders]
    failing = [one + (min(places) if sides == 2 else 0) for one, places in zip(above, orders, strict=True)]
    limit = failing_by_chance(models, honest, sides)
    assert sum(one >= limit for one in failing) / len(orders) > 0.05
    assert sum(one >= limit + 1 for one in failing) / len(orders) <= 0.05


@pytest.mark.parametrize(
    ("better", "best", "values", "passing"),
    [
        ("lower", None, [0.6, 0.61, 0.1], 2),
        ("higher", None, [0.4, 0.39, 0.9], 2),
        ("ideal", 0.5, [0.41, 0.61, 0.39], 1),
        ("ideal", 1.0, [0.41, 1.61, 1.59], 2),
        ("retrained", None, [0.59, 0.61, 0.39], 1),
    ],
)
def test_a_model_passes_if_it_is_no_worse_than_the_worst_honest_one(
    better: str, best: float | None, values: list[float], passing: int
) -> None:
    found = verdict(column(better, best), values, [0.4, 0.6, 0.5])
    assert found is not None and (found.passing, found.of) == (passing, 3)


def test_columns_to_be_met_are_held_against_all_retrained_models() -> None:
    of = {"again": [0.5, 0.6], "retrained": [0.8, 0.7], **{name: [0.75, 0.75] for name in (*CHEATS, *METHODS)}}
    rows = pd.DataFrame([{"method": name, "seed": seed, "X": value} for name, values in of.items()
                         for seed, value in enumerate(values)])  # fmt: skip
    assert cheats.judged([column("retrained")], rows)["X"]["flipped"].passing == 2
    assert cheats.judged([column("lower")], rows)["X"]["flipped"].passing == 0
    assert cheats.judged([column("neither")], rows) == {}


def test_a_measure_over_seeds_is_judged_by_its_interval() -> None:
    over = {"low": "L", "high": "H", "chance": "C", "models": "N", "fewest": 2}
    klom = Column.model_validate({"name": "X", "meaning": "x", "better": "lower", "over": over})
    ends = {"again": (1, 2), "unchanged": (2.1, 3), "flipped": (1.9, 3), "ft": (0, 0.5)}
    rows = pd.DataFrame([{"method": name, "X": low, "L": low, "H": high} for name, (low, high) in ends.items()] * 3)
    line = cheats.judged([klom], rows)["X"]
    assert (line["unchanged"].catches, line["flipped"].fooled, line["ft"].fooled) == (True, True, True)
    assert line["softened"].word == "n/a"
    higher = cheats.judged([klom.model_copy(update={"better": "higher"})], rows)["X"]
    assert (higher["ft"].catches, higher["unchanged"].fooled) == (True, True)


def test_a_verdict_in_words() -> None:
    assert failing_by_chance(10, 10, 1) == 3
    assert [Verdict(passing, 10, 3).word for passing in (0, 1, 6, 7, 10)] == [
        "**catches**", "1/10 pass", "6/10 pass", "fooled", "fooled",
    ]  # fmt: skip
    assert Verdict(0, 0, 3).word == "n/a" and verdict(column("lower"), [1.0], []) is None


def test_the_smallest_combinations_catch_every_cheat() -> None:
    caught, fooled = Verdict(0, 5, 1), Verdict(5, 5, 1)
    half = list(CHEATS)[:4]
    matrix = {
        "first": {name: caught if name in half else fooled for name in CHEATS},
        "second": {name: fooled if name in half else caught for name in CHEATS},
        "third": dict.fromkeys(CHEATS, fooled),
    }
    assert combinations(matrix) == [("first", "second")]
    assert combinations({"third": matrix["third"]}) == []


def test_a_page_needs_five_seeds(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- matrix -->\nold\n<!-- end -->\nafter\n")
    with pytest.raises(ConfigError, match="needs more seeds"):
        put(page, "new\n", 4)
    put(page, "new\n", 5)
    assert page.read_text() == "before\n<!-- matrix -->\nnew\n<!-- end -->\nafter\n"


# ----------------------------------------------------------------------------------------------------------- the page


def printed(text: str) -> dict[str, dict[str, str]]:
    """Column -> method -> what the matrix says."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head = [name.replace(" ", "_") for name in lines[0]]
    return {line[1]: dict(zip(head[2:], line[2:], strict=True)) for line in lines[2:]}


CLAIMS = {  # what the page says in words, as column -> cheats that it catches, cheats that fool it
    "RA": (("destroyed", "new_head"), ("unchanged", "flipped")),
    "FA": (("unchanged", "destroyed", "sharpened", "flipped"), ("flipped_some",)),
    "RT": (("unchanged", "destroyed", "flipped"), ()),
    "RetDev": (("destroyed", "new_head", "mislabelled", "flipped"), ("unchanged", "sharpened", "flipped_some")),
    "AUS": (("destroyed", "flipped"), ("unchanged", "flipped_some")),
    "LUMA": (("destroyed", "flipped"), ("unchanged", "flipped_some")),
    "Indisc": (("unchanged", "flipped"), ("sharpened", "destroyed", "flipped_some")),
    "Disc_AUC": (("unchanged", "softened", "sharpened", "mislabelled", "flipped", "flipped_some"), ("destroyed",)),
    "UMIA": ((), ("sharpened", "destroyed")),
    "AIN": ((), ("unchanged",)),
    "recovery_steps": ((), ("unchanged", "flipped")),
    **{name: (tuple(CHEATS), ()) for name in ("KL_F", "JS_F", "ZRF", "KLoM_F", "forgetting")},
}


def test_the_page_has_the_matrix_of_all_cheats_and_what_it_says_of_it_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8").partition(cheats.BEGIN)[2].partition(cheats.END)[0]
    matrix = printed(text)
    assert all(list(line) == [*CHEATS, "caught", *METHODS] for line in matrix.values()) and len(matrix) > 10
    for name, (caught, fooled) in CLAIMS.items():
        assert {matrix[name][cheat] for cheat in caught} <= {"**catches**"}, name
        assert {matrix[name][cheat] for cheat in fooled} <= {"fooled"}, name
    measures = {path.stem for kind in ("measure", "attack") for path in (ROOT / "conf" / kind).glob("*.yaml")}
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    named = {cells[1].strip() for cells in lines[1:]}
    assert named <= measures, "run scripts/cheats.py again"


def test_each_measure_says_which_cheats_it_does_not_catch() -> None:
    text = PAGE.read_text(encoding="utf-8").partition(cheats.BEGIN)[2].partition(cheats.END)[0]
    matrix = printed(text)
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ")]
    columns: dict[str, list[str]] = {}
    for _, measure, column, *_ in cells[1:]:
        columns.setdefault(measure, []).append(column)
    files = {path.stem: path for kind in ("measure", "attack") for path in (ROOT / "conf" / kind).glob("*.yaml")}
    for measure, own in columns.items():
        passing = [cheat for cheat in CHEATS if not any(matrix[column][cheat] == "**catches**" for column in own)]
        limits = yaml.safe_load(files[measure].read_text(encoding="utf-8"))["limits"]
        told = limits.partition("; does not catch the cheats ")[2].partition(" (docs/cheats.md)")[0]
        assert told == ", ".join(passing), measure


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_mark_replaces_the_one_before_and_goes_when_all_are_caught(quote: str) -> None:
    once = cheats.marked(f"limits: {quote}a, b{quote}", ["unchanged"])
    assert yaml.safe_load(once) == {"limits": "a, b; does not catch the cheats unchanged (docs/cheats.md)"}
    assert cheats.marked(once, ["flipped", "destroyed"]) == once.replace("unchanged", "flipped, destroyed")
    assert cheats.marked(once, []) == f"limits: {quote}a, b{quote}"


def test_every_cheat_has_its_files_and_values() -> None:
    folder = ROOT / "scripts" / "cheating"
    assert {path.stem for path in (folder / "method").glob("*.py")} == {*CHEATS, cheats.HONEST}
    values = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
    assert {name.split("/")[-1] for name in values} == {*CHEATS, cheats.HONEST, *METHODS}


# --------------------------------------------------------------------------------------------------------- a tiny run


@pytest.mark.slow
def test_the_cheats_do_what_they_say_and_the_matrix_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({f"digits/filtered/{name}": own for name, own in TINY.items()}))
    setting = "dataset.limit=240 train.epochs=10"
    given = ["seeds=1", "measures=null", f"values={values}", f"setting={setting}"]
    assert run_main(cheats.main, [f"results={tmp_path / 'R'}", *given]) == 0
    rows = collect(tmp_path / "R").rows.set_index("method")
    assert len(rows) == len(CHEATS) + len(METHODS) + 3
    original = rows.loc["original"]
    for name in ("unchanged", "softened", "sharpened", "flipped", "flipped_some"):
        assert (rows.loc[name, ["RA", "TA", "VA"]] == original[["RA", "TA", "VA"]]).all(), "outside D_F"
    assert rows.loc["flipped", "FA"] <= 1 - original["FA"], "what was right is wrong"
    aim = min(original["FA"], original["VA"])
    assert abs(rows.loc["flipped_some", "FA"] - aim) <= 0.5 / original["n_forget"] + 1e-9
    assert rows.loc["sharpened", "MIA_AUC"] == pytest.approx(original["MIA_AUC"], abs=0.05)
    assert rows.loc["destroyed", "RA"] < 0.3 and rows.loc["new_head", "RA"] < 0.5
    matrix = printed(capsys.readouterr().out.partition("`python scripts/cheats.py")[2])
    assert matrix["RA"]["destroyed"] == matrix["FA"]["flipped"] == "**catches**"
    assert (tmp_path / "R" / "cheats.csv").is_file()
