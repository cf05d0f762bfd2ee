"""The command as two labs use it, and what it says to wrong input."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest

from deepunlearn import tables
from deepunlearn.analysis.rows import collect
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.share.command import ACTIONS
from tests.commands import called, tree
from tests.share.made import members, share, small_store

WRONG = {  # arguments -> what the message names; {r}: results, {f}: a bundle, {t}: a folder
    "an option without an action": (["out=x.zip"], ["unknown action 'out=x.zip'", "export, import, show"]),
    "an action there is not": (["exprot", "out=x"], ["'exprot'", "export, import, show"]),
    "an export to nowhere": (["export", "results={r}"], ["not said which file", "give out=FILE"]),
    "an empty name": (["export", "out="], ["option out"]),
    "an export over a file": (["export", "out={f}", "results={r}"], ["there already", "{f}", "another name"]),
    "an export over a folder": (["export", "out={t}", "results={r}"], ["there already", "{t}"]),
    "an export into no folder": (["export", "out={t}/a/b.zip", "results={r}"], ["is not there", "mkdir -p {t}/a"]),
    "an export of nothing": (["export", "out={t}/n.zip", "results={t}/none"], ["nothing is stored", "{t}/none"]),
    "a method that is not stored": (["export", "out={t}/n.zip", "results={r}", "methods=ft,gaa"],
                                    ["unknown methods", "'gaa'", "ft, ga", "did you mean 'ga'?"]),
    "data that are not stored": (["export", "out={t}/n.zip", "results={r}", "dataset=mnist"], ["'mnist'", "digits"]),
    "a network that is not stored": (["export", "out={t}/n.zip", "results={r}", "arch=vit"], ["'vit'", "resnet18"]),
    "a method with no name": (["export", "out={t}/n.zip", "results={r}", "methods=ft,,ga"], ["no name", "or none"]),
    "an option there is not": (["export", "out={t}/n.zip", "method=ft"], ["'method'", "did you mean 'methods'?"]),
    "a plan that is no plan": (["export", "out={t}/n.zip", "plan=yes"], ["option plan", "'yes'", "true or false"]),
    "an import of nothing": (["import", "results={t}"], ["import takes one bundle", "no file"]),
    "an import of two": (["import", "{f}", "{f}2"], ["import takes one bundle", "{f} {f}2"]),
    "an import of what is not there": (["import", "{t}/no.zip"], ["no such bundle", "{t}/no.zip", "export out=FILE"]),
    "an import of a folder": (["import", "{t}"], ["no such bundle", "{t}"]),
    "an option of export": (["import", "{f}", "methods=ft"], ["import takes one bundle", "methods=ft"]),
    "an import into a file": (["import", "{f}", "results={f}"], ["nothing can be written", "{f} is no folder"]),
    "a look at nothing": (["show"], ["show takes one bundle"]),
    "a look with options": (["show", "{f}", "results={r}"], ["show takes one bundle"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    results = small_store(folder / "a")
    assert share("export", f"out={folder / 'x.zip'}", f"results={results.root}")[0] == 0
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case: str, shared: Path, tmp_path: Path) -> None:
    places = {"r": shared / "a", "f": shared / "x.zip", "t": tmp_path}
    arguments, words = ([one.format(**places) for one in part] for part in WRONG[case])
    before = tree(shared)
    code, out, err = share(*arguments)
    assert code == 2 and not out, out
    for word in (*words, "remedy:"):
        assert word in err, err
    assert tree(shared) == before and not list(tmp_path.iterdir())


def test_without_an_action_its_usage_is_told_as_a_mistake() -> None:
    code, out, err = share()
    assert code == 2 and not out
    assert err.startswith("usage: ") and err.endswith("--help says what they do, with examples\n")
    assert [action for action in ACTIONS if f"deepunlearn.share {action} " in err] == [*ACTIONS]


def test_help_teaches_all_options() -> None:
    code, out, _ = share("export", "--help")
    assert code == 0
    for word in ("usage", "out=FILE", "results=", "methods=none", "dataset=", "arch=", "plan=true", "show", "import"):
        assert word in out


def test_show_says_who_made_it_of_what(shared: Path) -> None:
    code, out, _ = share("show", shared / "x.zip")
    assert code == 0
    listed = json.loads(members(shared / "x.zip")["manifest.json"])
    for word in (listed["version"], listed["commit"], listed["machine"], listed["date"], listed["digest"]):
        assert word in out
    for word in (
        "digits/resnet18",
        "data       abababababababab",
        "forget     random(ratio=0.1)",
        "ga         seeds 0, 1",
    ):
        assert word in out, out


# ------------------------------------------------------------------------------------------------------------ two labs

CELL = (
    "arch=smallnet", "search=quick", "search.trials=2", "train.epochs=1", "seeds=1", "dataset.limit=300",
    "runtime.threads=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def first_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two methods, a measure among it, and its bundle `x.zip`."""
    folder = tmp_path_factory.mktemp("first")
    done = called(folder, "method=ft,ct", "measures=[mse]", *CELL)
    assert done.returncode == 0, done.stderr
    assert share("export", f"out={folder / 'x.zip'}", f"results={folder / 'results'}")[0] == 0
    assert share("export", f"out={folder / 'refs.zip'}", f"results={folder / 'results'}", "methods=none")[0] == 0
    return folder


def open_tasks(folder: Path, *arguments: str) -> set[tuple[str, str]]:
    """What a sweep would have to do: stage and method."""
    sweep = read_command([*arguments, *CELL, f"results={folder / 'results'}"]).sweep
    return {(task.stage, task.method) for task in Planner(sweep, Progress()).open_tasks()}


def printed(folder: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert tables.main([f"results={folder / 'results'}"]) == 0
    return out.getvalue()


@pytest.mark.slow
def test_a_second_lab_adds_a_method_and_trains_nothing_else(first_lab: Path, tmp_path: Path) -> None:
    code, out, err = share("import", first_lab / "x.zip", f"results={tmp_path / 'results'}")
    assert code == 0 and "method=ft,ct" in out, err
    assert printed(tmp_path) == printed(first_lab)
    sweep = ("method=ft,ct,ga", "measures=[mse]")
    assert {method for _, method in open_tasks(tmp_path, *sweep)} == {"ga"}
    before = tree(tmp_path / "results" / "store")
    done = called(tmp_path, *sweep, *CELL)
    assert done.returncode == 0, done.stderr
    assert "trained" not in done.stderr and done.stderr.count(" unlearned in ") == 1
    after = tree(tmp_path / "results" / "store")
    assert {name: after[name] for name in before} == before, "times and dates included"
    assert {Path(name).parts[3] for name in after.keys() - before.keys()} == {"ga"}
    own, theirs = (collect(one / "results").set_index(["method", "seed"]).sort_index() for one in (tmp_path, first_lab))
    assert own.drop(index="ga").astype(str).equals(theirs.astype(str)) and len(own) == 5
    assert not open_tasks(tmp_path, *sweep)


@pytest.mark.slow
def test_references_alone_leave_all_methods_to_do(first_lab: Path, tmp_path: Path) -> None:
    assert share("import", first_lab / "refs.zip", f"results={tmp_path / 'results'}")[0] == 0
    assert open_tasks(tmp_path, "method=ft") == {("search", "ft"), ("select", "ft"), ("evaluate", "ft")}
    assert open_tasks(tmp_path, "method=ft", "train.lr=0.01") >= {("reference", "original")}, "of another recipe"


@pytest.mark.slow
def test_two_labs_that_both_made_a_model_cannot_be_mixed(first_lab: Path, tmp_path: Path) -> None:
    """The same key and other seconds: whose row would the tables show?"""
    shutil.copytree(first_lab / "results", tmp_path / "results")
    store = tmp_path / "results" / "store"
    for stage in ("unlearned", "metrics", "rows"):
        (path,) = store.glob(f"*/*/{stage}/ft/*")
        shutil.rmtree(path)
    assert called(tmp_path, "method=ft,ct", "measures=[mse]", *CELL).returncode == 0
    before = tree(store)
    code, _, err = share("import", first_lab / "x.zip", f"results={tmp_path / 'results'}")
    assert code == 2 and f"{path.relative_to(store)}: row.json" in err and tree(store) == before
