"""The benchmarks run, at tiny sizes on noise, and their tables are complete."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from deepunlearn.analysis.nearness import Setting
from deepunlearn.config import Command, read_command
from tests.commands import tree
from tests.data.small_data import write_classes

ROOT = Path(__file__).parents[1]
RUN = ROOT / "scripts" / "bench" / "run.py"
ROWS = {
    "networks": 28, "layers": 36, "steps": 10, "importance": 3, "trials": 15, "workers": 1, "startup": 3, "splits": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    counts = {f"{part}/{name}": count for part, count in (("train", 16), ("test", 4)) for name in "abcdefghij"}
    write_classes(folder, counts, suffix=".jpg", size=32)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_each_benchmark_fills_its_table(name: str, images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), name, "--quick", "--data", str(images), "--to", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{name}.md").read_text()
    assert page in done.stdout
    assert f"scripts/bench/run.py {name} --quick" in page and "commit" in page and "torch" in page
    header, _, *rows = [_cells(line) for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == ROWS[name]
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        assert cells["measure"] and cells["A"] and cells["B"]
        assert float(cells["A / B"]) >= 0 and int(cells["repeats"]) > 0
        assert bool(cells["goal"]) == (cells["met"] in ("yes", "no"))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_curve_is_of_what_a_search_means_and_each_repeat_has_report_seeds_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))
    common, heldout, searches = (importlib.import_module(name) for name in ("common", "heldout", "searches"))
    searching = common.Searching(
        ["thrifty"], ["ft"], ["smallnet"], [], "digits", limit=300, epochs=2, repeats=4, seeds=3, more=[], curves=None
    )
    options = common.Options(tmp_path, False, tmp_path, None, searching)
    plan = heldout.Plan(options)
    reported = [seed for repeat in range(4) for seed in _seeds_of(plan.arguments("arch=smallnet", "paper", repeat, []))]
    assert reported == list(range(12))
    place = ("smallnet", "thrifty", 0, "ft")
    before = searches._of(plan, *place)
    command = heldout.Plan.command

    def other_preset(*given: object) -> Command:
        """As if search.trials were another number in conf/search/thrifty.yaml."""
        read = command(*given)
        search = read.sweep.search.model_copy(update={"trials": 30})
        return read._replace(sweep=read.sweep.model_copy(update={"search": search}))

    assert searches._of(heldout.Plan(options), *place) == before
    monkeypatch.setattr(heldout.Plan, "command", other_preset)
    after = searches._of(heldout.Plan(options), *place)
    assert after[:-1] == before[:-1] and after != before


def test_two_processes_lose_no_curve_of_each_other(tmp_path: Path) -> None:
    code = "\n".join(
        (
            "import sys; from pathlib import Path; from anytime import Curve; from curves import Curves, Found",
            "kept = Curves.read(Path(sys.argv[1]))",
            "for number in range(40):",
            "    kept.add((sys.argv[2], str(number)), Found(Curve((0.0,), (0.5,), 1.0), 0.5, 'here'))",
        )
    )
    file, environment = tmp_path / "curves.json", {**os.environ, "PYTHONPATH": f"{RUN.parent}:{ROOT}"}
    adding = [subprocess.Popen([sys.executable, "-c", code, str(file), name], env=environment) for name in "ab"]
    assert [process.wait() for process in adding] == [0, 0]
    assert {tuple(one["of"]) for one in json.loads(file.read_text())} == {(n, str(i)) for n in "ab" for i in range(40)}
    assert [path.name for path in tmp_path.iterdir()] == ["curves.json"]


IDEAS = {  # what docs/searches.md calls a change of thrifty -> the line of the table
    "three studies of 8 trials: ": "shared=false+trials=8",
    "the best one alone: ": "candidates=1",
    "none: ": "from_defaults=false",
    "random: ": "sampler=random",
    "`gp`: ": "sampler=gp",
    "`cmaes`: ": "sampler=cmaes",
    "ends there | | ": "pruner=median",
    "no pruning: ": "prune=false+pruner=median+look_samples=null",
    "| off | on: ": "stops_early=true",
    "on all: ": "look_samples=null",
    "| 24 and 3 | ": "trials=12+candidates=2",
}


def of_all_methods(table: Path) -> dict[str, dict[str, str]]:
    """The lines of all methods together, by search."""
    header, _, *rows = [_cells(line) for line in table.read_text().splitlines() if line.startswith("|")]
    lines = (dict(zip(header, row, strict=True)) for row in rows if row[1] == "all")
    return {line["search"]: line for line in lines}


@pytest.mark.parametrize("words", IDEAS)
def test_the_figure_beside_an_idea_is_that_of_the_table(words: str) -> None:
    found = of_all_methods(ROOT / "results" / "bench" / "ideas" / "searches.md")
    page = (ROOT / "docs" / "searches.md").read_text()
    (said,) = re.findall(re.escape(words) + r"([\d.]+) \(([\d.]+) to ([\d.]+)\)", page)
    measured = re.findall(r"[\d.]+", found[f"thrifty+{IDEAS[words]}"]["ratio"])
    assert list(map(float, said)) == pytest.approx(list(map(float, measured)), abs=0.0051)


@pytest.mark.parametrize(("folder", "column"), [(".", 1), ("resnet18", 3)])
def test_the_figures_on_the_page_are_those_of_the_table(folder: str, column: int) -> None:
    """docs/performance.md rounds what the tables of both networks have of all methods together."""
    found = of_all_methods(ROOT / "results" / "bench" / folder / "searches.md")
    page = (ROOT / "docs" / "performance.md").read_text()
    lines = page.split("**Measured** are")[1].split("\n- ")[0].splitlines()
    said = [_cells(line) for line in lines if line.startswith("|")][2:]
    assert [name for name, *_ in said] == list(found)
    for name, *cells in said:
        share, ratio = cells[column - 1 : column + 1]
        assert float(share) == pytest.approx(float(found[name]["of the baseline's"]), abs=0.005)
        numbers = list(map(float, re.findall(r"[\d.]+", ratio)))
        measured = list(map(float, re.findall(r"[\d.]+", found[name]["ratio"])))
        assert numbers == pytest.approx(measured[: len(numbers)], abs=0.0051)
        assert len(numbers) == (1 if name == "paper" else 3)


def test_the_ratios_of_transfer_on_the_page_are_those_of_the_table() -> None:
    """docs/searches.md has of all methods together the ratio, and the norm where values are used in their own cell."""
    found = [_cells(line) for line in (ROOT / "results" / "bench" / "transfer.md").read_text().splitlines()]
    measured = [row for row in found if row[0] == "all"]
    page = (ROOT / "docs" / "searches.md").read_text().split("| values of |")[1].split("\n\n")[0]
    said = [_cells(line) for line in page.splitlines() if line.startswith("|")][1:]
    assert len(said) == len(measured) == 8
    for (_, *told), (_, _, *cells) in zip(said, measured, strict=True):
        for value, cell in zip(told, cells, strict=True):
            numbers = list(map(float, re.findall(r"[\d.]+", value)))
            true = list(map(float, re.findall(r"[\d.]+", cell.rpartition("x ")[2])))
            assert numbers == pytest.approx(true[: len(numbers)], abs=0.0051)
            assert value.startswith("**") == ("x" not in cell)


@pytest.mark.parametrize("file", sorted((ROOT / "results" / "bench" / "transfer").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_winners_of_a_cell_are_values_that_its_methods_have(file: Path) -> None:
    cell, arch = file.stem.rpartition("-")[0], file.stem.split("-")[0]
    forget = {"smallnet-more-forgotten": "forget.ratio=0.3", "smallnet-class": "forget=classes"}.get(
        cell, "forget=random"
    )
    dataset = "mnist" if cell == "smallnet-mnist" else "cifar10"
    given = [f"dataset={dataset}", f"arch={arch}", forget, f"hparams={file}"]
    sweep = read_command([*given, "method=ft,ct,msg,ngplus,scrub,salun"]).sweep
    for method in sweep.methods:
        entry = sweep.entry_of(sweep.cells[0], method.name)
        assert entry is not None
        assert {*sweep.hparams[entry]} <= {*method.complete(sweep.hparams[entry])}


def _seeds_of(arguments: list[str]) -> list[int]:
    (seeds,) = (word.removeprefix("seeds=") for word in arguments if word.startswith("seeds="))
    return list(map(int, seeds.strip("[]").split(",")))


@pytest.mark.slow
def test_searches_are_compared_on_other_seeds(images: Path, tmp_path: Path) -> None:
    changed = "thrifty+pruner=median+look_samples=null"
    command = [sys.executable, str(RUN), "searches", "--quick", "--archs", "smallnet", "--data", str(images)]
    command += ["--searches", "paper", changed, "--to", str(tmp_path), "--curves", str(tmp_path / "curves.json")]
    done = _done(command)
    page = (tmp_path / "searches.md").read_text()
    assert done.stdout.startswith("about ") and page in done.stdout
    header, _, *rows = [_cells(line) for line in page.splitlines() if line.startswith("|")]
    table = {(row["method"], row["search"]): row for row in (dict(zip(header, cells, strict=True)) for cells in rows)}
    assert [*table] == [(of, search) for of in ("ft", "all") for search in ("default values", "paper", changed)]
    paper, defaults = table["ft", "paper"], table["ft", "default values"]
    assert float(paper["ratio"]) == float(paper["of the baseline's"]) == 1
    assert float(paper["device seconds"]) > 0 == float(defaults["device seconds"])
    assert paper["ratio at 1/10"] == defaults["ratio"], "no trial is done by then, which leaves the default values"
    figure = (tmp_path / "searches.svg").read_text()
    assert "device seconds" in figure and "smallnet, ft" in figure
    again = _done([*command, "--data", str(tmp_path / "no images")])
    assert again.stdout.startswith("about 0 s"), "what is kept is not measured again, and needs no images"
    assert [line for line in page.splitlines() if line.startswith("|")] == [
        line for line in (tmp_path / "searches.md").read_text().splitlines() if line.startswith("|")
    ]
    assert (tmp_path / "searches.svg").read_text() == figure


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("idea", "field", "value"),
    [
        ("sampler=gp", "sampler", "gp"),
        ("pruner=median", "pruner", "median"),
        ("prune=false+pruner=median+look_samples=null", "prune", False),
        ("look_samples=null", "look_samples", None),
        ("shared=false", "shared", False),
        ("from_defaults=false", "from_defaults", False),
        ("stops_early=true", "stops_early", True),
    ],
)
def test_each_idea_of_a_thrifty_search_can_be_measured_by_itself(
    monkeypatch: pytest.MonkeyPatch, idea: str, field: str, value: object
) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))
    name, changes = importlib.import_module("heldout").parted(f"thrifty+{idea}")
    search = read_command([f"search={name}", *changes, "method=ft", "dataset=digits"]).sweep.search
    assert name == "thrifty" and getattr(search, field) == value
    assert search.name == "thrifty" and search.trials == 24


def test_a_search_is_not_compared_with_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))
    with pytest.raises(SystemExit):
        importlib.import_module("run").main(["searches", "--searches", "paper", "paper+together=8"])
    assert "paper+together=8 has the trials of the search without it" in capsys.readouterr().err


CELLS = ("arch=smallnet", "arch=smallnet+forget.ratio=0.3", "arch=smallnet+forget=classes")


@pytest.mark.slow
def test_values_of_each_cell_are_used_in_every_other_and_what_is_stored_is_not_made_again(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "transfer", "--quick", "--dataset", "digits", "--searches", "quick"]
    command += ["--cells", *CELLS, "--option", "dataset.limit=400", "--keep", str(tmp_path), "--to", str(tmp_path)]
    kept, pages = [], []
    for _ in range(2):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
        )
        assert done.returncode == 0, done.stderr
        pages.append([line for line in (tmp_path / "transfer.md").read_text().splitlines() if line.startswith("|")])
        kept.append(tree(tmp_path / "results" / "store"))
    assert kept[0] and kept[1] == kept[0], "the second run goes on where the first was, at its end"
    assert pages[0] == pages[1]
    header, _, *rows = [_cells(line) for line in pages[0]]
    assert header == ["method", "values of", *CELLS, "elsewhere"]
    assert [row[:2] for row in rows] == [
        [of, source] for of in ("ft", "all") for source in (*CELLS, "nearest", "default values")
    ]
    for number, row in enumerate(rows[:3]):
        for column, value in enumerate(row[2:5]):
            assert ("x" not in value) == (column == number), "the searched norm, and elsewhere what is lost"
    assert rows[3][2:4] == [rows[1][2], rows[0][3]], "the nearest to random samples are random samples"


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RUN.parent))
    return importlib.import_module("transfer")


def test_regret_is_paired_by_repeat_and_of_all_methods_over_their_means(transfer: ModuleType) -> None:
    norms = {
        "ft": {("a", "a"): [0.2, 0.4], ("a", "b"): [0.3, 0.3], ("default values", "a"): [0.4, 0.8]},
        "ga": {("a", "a"): [0.5, 0.5], ("a", "b"): None, ("default values", "a"): [0.6, 0.6]},
    }
    for own in norms.values():
        own |= {("b", "b"): [0.1, 0.1], ("b", "a"): [0.3, 0.5], ("default values", "b"): [0.1, 0.1]}
    rows = {(row.method, row.source): row.values for row in transfer.Matrix("ab", norms, {"a": "b", "b": "a"}).rows()}
    searched, lost, elsewhere = rows["ft", "a"]
    assert searched.startswith("0.300 (") and lost.startswith("0.200 (0.200 to 0.200); x 3.000 (3.000 to 3.000)")
    assert lost == elsewhere, "there is one other cell"
    assert rows["ft", "b"][0].startswith("0.100 (0.100 to 0.100); x 1.369 (")
    assert rows["ft", "default values"][2].startswith("0.150 ("), "the mean of 0.3 and 0"
    assert rows["ft", "nearest"][:2] == (rows["ft", "b"][0], rows["ft", "a"][1])
    assert rows["ga", "a"][1:] == ("refused", "refused") == rows["all", "a"][1:]
    assert rows["all", "a"][0].startswith("0.400 (") and rows["all", "default values"][0].startswith("0.200 (")


def test_the_ratio_to_a_perfect_norm_is_that_to_the_least(transfer: ModuleType) -> None:
    norms = {"ft": {(source, target): [float(source != target)] for source in ("a", "b") for target in "ab"}}
    norms["ft"] |= {("default values", target): [0.5] for target in "ab"}
    first, *_ = transfer.Matrix("ab", norms, {"a": "b", "b": "a"}).rows()
    assert first.values == ("0.000", "1.000; x 1000.000", "1.000; x 1000.000")


def test_the_nearest_cell_is_that_of_hparams_nearest(transfer: ModuleType) -> None:
    own = Setting(dataset="digits", arch="smallnet", classes=10, samples=1000, forgotten=100)
    settings = {
        "own": own,
        "classes": own.model_copy(update={"whole_classes": True}),
        "share": own.model_copy(update={"forgotten": 200}),
        "size": own.model_copy(update={"samples": 500, "forgotten": 50}),
    }
    found = transfer.nearest_of(settings)
    assert found == {"own": "share", "classes": "own", "share": "own", "size": "own"}


@pytest.fixture
def anytime(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RUN.parent))
    return importlib.import_module("anytime")


def test_the_score_in_hand_changes_when_a_better_trial_is_done(anytime: ModuleType) -> None:
    def trial(slot: int, seed: int, norm: float | None) -> object:
        return anytime.Trial(slot, seed, 10.0, norm)

    trials = [trial(0, 0, None), trial(1, 0, 0.5), trial(2, 0, 0.1), trial(0, 1, 0.7), trial(1, 1, 0.5)]
    found = anytime.bests(anytime.in_turns(trials))
    assert [(spent, one.slot, one.seed) for spent, one in found] == [(20.0, 0, 1), (30.0, 1, 0), (50.0, 2, 0)]
    curve = anytime.Curve((0.0, 20.0, 30.0, 50.0), (0.9, 0.8, 0.6, 0.7), 55.0)
    assert [curve.at(seconds) for seconds in (0, 19.9, 20, 49, 1000)] == [0.9, 0.9, 0.8, 0.6, 0.7]
    assert anytime.mean_curve([curve, anytime.Curve((0.0,), (0.4,), 5.0)], [0, 50]).tolist() == [
        [pytest.approx(0.65), 0.4, 0.9],
        [pytest.approx(0.55), 0.4, 0.7],
    ]


def test_intervals_are_student_s_and_repeats_do_not_count_as_methods(anytime: ModuleType) -> None:
    known = anytime.Interval.of([1.0, 2.0, 3.0, 4.0])
    half = 3.182446 * (5 / 3) ** 0.5 / 2  # the 97.5 % quantile of t with 3 degrees of freedom, from a printed table
    assert (known.mean, known.low, known.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half), rel=1e-6)
    assert str(anytime.Interval.of([0.25])) == "0.250"
    base = {"ft": [1.0] * 4, "ga": [2.0] * 4}
    assert anytime.ratio([0.5, 2.0], [1.0, 1.0]).mean == pytest.approx(1.0), "halved and doubled cancel out"
    assert anytime.ratio([0.0], [0.5]).mean == pytest.approx(0.002), "of a perfect norm there is a ratio, too"
    twice = {"ft": [0.5] * 4, "ga": [4.0] * 4}
    over = anytime.ratio_over_methods(twice, base)
    assert over.mean == pytest.approx(1.0)
    assert over.high == pytest.approx(2**12.7062, rel=1e-4), "one degree of freedom of two methods, not seven"


@pytest.mark.slow
def test_the_pace_of_the_analysis_is_measured_on_rows_that_it_can_read() -> None:
    script = ROOT / "scripts" / "bench_analysis.py"
    done = subprocess.run(
        [sys.executable, str(script), "--repeats", "1", "--cells", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [_cells(line)[0] for line in done.stdout.splitlines()[-2:]] == ["tables", "report"]
