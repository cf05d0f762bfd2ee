"""Measures of models that are stored already: computed once, whatever stops the command; all else stays as it was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from deepunlearn.analysis import records
from deepunlearn.config import read_command
from deepunlearn.config.measures import known_measures
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import FailureNote, Failures
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from deepunlearn.measure import main
from deepunlearn.registry import Folders
from tests import measure_list
from tests.commands import called, run_command, tree, until
from tests.plugins import put
from tests.test_earlier_results import ARCHIVE, DEFAULTS

WORK = (
    "dataset=digits", "arch=smallnet", "search=none", "train.epochs=1", "dataset.limit=200", "runtime.threads=1",
    "method=ft,ga",
)  # fmt: skip
YAML = """# a test
name: {name}
version: 1
title: a test
source: a test
kind: score
needs: [{needs}]
default: false
columns:
  - {{name: {column}, low: null, better: neither, meaning: a test}}
"""
LOSS = "def measure(outputs):\n    return {'Largest': float(outputs.logits['forget'].max())}\n"
SLOW = "import time\n" + LOSS.replace("    return", "    time.sleep(0.1)\n    return").replace("Largest", "Later")
NETWORKS = """
import torch

def measure(outputs):
    models = outputs.models
    x, y = next(models.parts["forget"].batches(8))
    found = [models.unlearned()(x), models.original()(x), models.retrained()(x), models.random()(x)]
    assert torch.equal(found[3], models.random()(x)) and not torch.equal(found[0], found[3])
    with torch.no_grad():
        for value in models.unlearned().parameters():
            value.zero_()
    assert torch.equal(models.unlearned()(x), found[0]), "what a measure does to a model is not seen again"
    return {"Nets": sum(float(one.detach().abs().sum()) for one in found[:3])}
"""
CALLS = """
import contextlib

def measure(outputs):
    outputs.call.unlearn(contextlib.nullcontext())
    assert outputs.call.retrain_step(contextlib.nullcontext()) > 1
    return {"Samples": float(outputs.call.retrain_samples)}
"""
HALF = """
import torch

def measure(outputs):
    with outputs.models.runtime.autocast():
        return {"Half": float(torch.is_autocast_enabled("cpu"))}
"""
GROUPS = """
import numpy as np

def measure(group):
    last = np.int64(len(group.unlearned) - 1)
    own, other = group.unlearned[last]["unseen_test"], group.retrained[last]["unseen_test"]
    return {"Seen": float(len(own) + len(other) == 2 * len(group.labels["unseen_test"]))}
"""
STORED = 8  # two methods and two references of two seeds


def write_measures(folder: Path) -> None:
    for name, code, column, needs in (
        ("largest", LOSS, "Largest", "logits"),
        ("later", SLOW, "Later", "logits"),
        ("nets", NETWORKS, "Nets", "models"),
        ("calls", CALLS, "Samples", "call"),
    ):
        put(folder / "own", "measure", name, code, YAML.format(name=name, column=column, needs=needs))


@pytest.fixture(scope="module")
def swept_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without further measures; its second run has models of the first alone."""
    folder = tmp_path_factory.mktemp("swept")
    write_measures(folder)
    assert called(folder, *WORK, "seeds=2").returncode == 0
    assert called(folder, *WORK, "seeds=1").returncode == 0
    return folder


@pytest.fixture
def swept(swept_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(swept_once, tmp_path / "copy")


def measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("measure", folder, "plugins=own", *arguments)


def stored(folder: Path) -> dict[str, str]:
    return tree(folder / "results" / "store")


def values(folder: Path) -> list[str]:
    """The values of all measures, by entry; drafts that are being written are none yet."""
    found = sorted((folder / "results/store").rglob("values.json"))
    paths = [path for path in found if not path.parent.name.startswith(".draft-")]
    return [f"{path.parent}: {json.loads(path.read_text())['values']}".replace(str(folder), "") for path in paths]


@pytest.mark.slow
def test_a_measure_that_comes_later_is_computed_for_what_is_stored(swept: Path) -> None:
    before = tree(swept)
    planned = measure(swept, "measures=[largest,later]", "plan=true")
    assert re.search(rf"^digits/smallnet +{STORED} +0 +0 +{STORED} ", planned.stdout, re.MULTILINE), planned.stdout
    assert planned.returncode == 0 and tree(swept) == before, "a plan changes nothing"
    done = measure(swept, "measures=[largest]", "method=ft")
    assert done.returncode == 0 and "all 6 models have these measures" in done.stdout, done.stdout + done.stderr
    assert "trained" not in done.stderr and " unlearned in " not in done.stderr
    more = measure(swept, "measures=[largest,later]", "launcher.workers=2")
    assert more.returncode == 0, more.stderr
    after = stored(swept)
    kept = {name: content for name, content in before.items() if name.startswith("results/store")}
    assert {f"results/store/{name}": after[name] for name in after if "/measures/" not in name} == kept
    assert len([name for name in after if name.endswith("values.json")]) == 2 * STORED
    again = measure(swept, "measures=[largest,later]")
    assert again.returncode == 0 and stored(swept) == after and "cell " not in again.stdout, "nothing twice"
    found = records.collect(swept / "results")
    assert found.rows[["Largest", "Later"]].notna().all(axis=None) and len(found.rows) == STORED
    same = called(swept, *WORK, "seeds=2", "plugins=own", "measures=[largest,later]")
    assert "nothing to do" in same.stdout, "the sweep's command would have computed the same"


@pytest.mark.slow
def test_networks_and_the_call_are_had_again_bit_for_bit(swept: Path, tmp_path: Path) -> None:
    """Also of a store without weights of unlearned models, with a measure that needs networks."""
    done = measure(swept, "measures=[nets,calls]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not measured: original and retrained have no calls: no unlearning call has made them" in done.stdout
    assert called(tmp_path, *WORK, "seeds=2", "keep=logits").returncode == 0
    write_measures(tmp_path)
    assert measure(tmp_path, "measures=[nets]").returncode == 0
    bare = records.collect(tmp_path / "results").rows.set_index(["method", "seed"])["Nets"]
    kept = records.collect(swept / "results").rows.set_index(["method", "seed"])["Nets"]
    assert bare.to_dict() == kept.to_dict() and kept.notna().all()
    for logits in (tmp_path / "results/store").rglob("unlearned/ga/*/logits.npz"):
        _change(logits)
    shutil.rmtree(next((tmp_path / "results/store/digits/smallnet/measures").glob("ga")))
    refused = measure(tmp_path, "measures=[nets]")
    assert refused.returncode == 1 and "unlearning again gives another one here" in refused.stdout


@pytest.mark.slow
def test_all_models_of_a_method_have_the_parts_that_one_has(swept: Path) -> None:
    yaml = YAML.format(name="groups", column="Seen", needs="logits") + "over: seeds\n"
    put(swept / "own", "measure", "groups", GROUPS, yaml)
    done = measure(swept, "measures=[groups]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert records.collect(swept / "results").rows["Seen"].value_counts().to_dict() == {1.0: 4}


@pytest.mark.slow
def test_each_run_is_measured_in_its_own_precision(tmp_path: Path) -> None:
    put(tmp_path / "own", "measure", "half", HALF, YAML.format(name="half", column="Half", needs="models"))
    for precision in ("fp32", "bf16"):
        assert called(tmp_path, *WORK, "seeds=1", f"runtime.precision={precision}").returncode == 0
    done = measure(tmp_path, "measures=[half]", "launcher.workers=1")
    assert done.returncode == 0, done.stdout + done.stderr
    entries = [path.parent for path in (tmp_path / "results/store").rglob("measures/*/*/values.json")]
    read = {
        (json.loads((one / "config.json").read_text())["key"]["retrained"]["precision"],
         json.loads((one / "values.json").read_text())["values"]["Half"])
        for one in entries
    }  # fmt: skip
    assert len(entries) == 8 and read == {("fp32", 0.0), ("bf16", 1.0)}


def _change(logits: Path) -> None:
    """As another machine would have rounded them."""

    arrays = {name: value + np.float32(1e-3) for name, value in np.load(logits).items()}
    np.savez(logits, **arrays)
    meta = json.loads(logits.with_name("meta.json").read_text())
    meta["files"]["logits.npz"] = {
        "bytes": logits.stat().st_size, "sha256": hashlib.sha256(logits.read_bytes()).hexdigest()
    }  # fmt: skip
    logits.with_name("meta.json").write_text(json.dumps(meta))


@pytest.mark.slow
def test_kills_change_nothing(swept: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(swept, tmp_path / "whole")
    assert measure(whole, "measures=[largest,later]").returncode == 0
    moments = random.Random(0)
    seen = []
    for _ in range(3):
        _killed(swept, moments)
        seen.append(until(lambda: len(values(swept))))
    assert 0 < seen[0] < 2 * STORED, f"the kills did not come while it was at work: {seen}"
    done = measure(swept, "measures=[largest,later]")
    assert done.returncode == 0, done.stderr
    assert values(swept) == values(whole)
    assert not list((swept / "results/store").rglob(".draft-*"))


def _killed(folder: Path, moments: random.Random) -> None:
    """Start the command, and kill -9 it and its workers within a moment after it has begun to store."""
    command = [sys.executable, "-m", "deepunlearn.measure", "plugins=own", "measures=[largest,later]"]
    before = len(values(folder))
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until(lambda: len(values(folder)) > before or process.poll() is not None, every=0.01)
    time.sleep(moments.uniform(0, 0.2))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_what_cannot_be_measured_is_said(swept: Path) -> None:
    runs = swept / "results/runs"
    shutil.rmtree(next((swept / "results/store/digits/smallnet/unlearned/ft").glob("seed1-*")))
    (runs / "broken").mkdir()
    (runs / "broken/sweep.json").write_text("{}")
    assert called(swept, *WORK, "seeds=1", "forget.ratio=0.3").returncode == 0
    shutil.rmtree(next(path.parent for path in runs.glob("*/sweep.json") if '"ratio": 0.3' in path.read_text()))
    done = measure(swept, "measures=[largest]", "plan=true")
    told = done.stdout
    assert done.returncode == 0
    assert re.search(
        r"not measured: run sweep-\w+: 1 of 8 models are not stored: digits/smallnet ft seed 1$", told, re.M
    )
    assert "not measured: run broken: the configuration of a run" in told
    assert "not measured: 2 stored models are of no run, e.g. digits/smallnet/unlearned/ft/seed0-" in told


@pytest.mark.slow
def test_jobs_on_a_cluster_are_planned(swept: Path) -> None:
    done = measure(swept, "measures=[largest]", "launcher=slurm", "plan=true")
    assert done.returncode == 0 and re.search(rf"^measure +1 +{STORED} ", done.stdout, re.MULTILINE), done.stdout
    alone = measure(swept, "measures=[calls]", "launcher=slurm", "launcher.gpus=0", "plan=true")
    assert "each alone on its node" in alone.stdout, "what a call costs is counted with nothing beside it"


@pytest.mark.slow
def test_a_note_of_an_earlier_version_is_a_failure_until_it_is_overcome(swept: Path) -> None:
    """These measured while they evaluated, and noted under that what failed."""
    put(swept / "own", "measure", "largest", LOSS.replace("    return", "    raise ValueError('no luck')\n    return"),
        YAML.format(name="largest", column="Largest", needs="logits"))  # fmt: skip
    assert measure(swept, "measures=[largest]", "method=ft").returncode == 1
    notes = sorted((swept / "results/store").rglob("failure.json"))
    assert len(notes) == 6
    for path in notes:
        note = FailureNote(**{**json.loads(path.read_text()), "stage": "evaluate"})
        _as_evaluation(swept, path, note)
    again = measure(swept, "measures=[largest]", "method=ft")
    assert again.returncode == 1 and "6 failed" in again.stdout and "ValueError: no luck" in again.stdout
    found = records.collect(swept / "results")
    assert len(found.cases) and found.cases["why"].str.contains("no luck").sum() == 6
    write_measures(swept)
    assert measure(swept, "measures=[largest]", "method=ft").returncode == 0
    assert not list((swept / "results/store").rglob("failure.json"))


def _as_evaluation(folder: Path, path: Path, note: FailureNote) -> None:
    """Move a note of a measuring to where earlier versions put it."""
    results = folder / "results"
    planner = Planner(read_command([*WORK, "seeds=2", f"results={results}"]).sweep, Progress(quiet=True))
    task = Task("evaluate", 0, note.method, note.seed)
    shutil.rmtree(path.parent)
    Failures(results / "store").record(planner.place(task), planner.task_id(task), note)


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("given", "told", "remedy"),
    [
        (["measures=[nix]"], "unknown measure 'nix'", "names that are allowed"),
        (["results=elsewhere"], "there is no such folder of results", "give results=DIR"),
        (["results=own"], "no sweep was run with results=own", "give results=DIR"),
        (["train.epochs=3"], "unknown option 'train.epochs'", "as they are stored"),
        (["runtime.precision=bf16"], "unknown option 'runtime.precision'", "as they are stored"),
        (["measures=[]"], "no measure is chosen", "measures=[NAME,...]"),
        (["measures=none"], "no measure is chosen", "measures=[NAME,...]"),
        (["method"], "cannot read 'method'", "NAME="),
    ],
)
def test_what_cannot_be_asked_for_is_taught(given: list[str], told: str, remedy: str, tmp_path: Path) -> None:
    write_measures(tmp_path)
    asked = [] if given[0].startswith("measures=") else ["measures=[largest]"]
    done = measure(tmp_path, *asked, *given)
    assert done.returncode == 2 and told in done.stderr and remedy in done.stderr and "allowed:" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "told"),
    [("method=fft", "did you mean 'ft'"), ("forget=classes", "allowed: random"), ("dataset=mnist", "allowed: digits")],
)
def test_what_is_not_stored_is_told_with_what_is(given: str, told: str, swept_once: Path) -> None:
    done = measure(swept_once, "measures=[largest]", given)
    assert done.returncode == 2 and told in done.stderr


@pytest.mark.slow
def test_models_without_a_run_are_told_how_they_get_theirs(tmp_path: Path) -> None:
    """A store of an earlier version, of which the runs are gone: the sweep's own command measures what it finds."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    write_measures(tmp_path)
    done = measure(tmp_path, "measures=[largest]")
    assert done.returncode == 2 and "stored models are of no run" in done.stderr and "measures=[...]" in done.stderr
    swept = called(tmp_path, *DEFAULTS[1:], "method=ft", "plugins=own", "measures=[largest]")
    assert swept.returncode == 0 and " unlearned in " not in swept.stderr and len(values(tmp_path)) == 6


def test_help_teaches_and_lists_what_there_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_measures(tmp_path)
    assert main(["--help", f"plugins={tmp_path / 'own'}"]) == 0
    told = capsys.readouterr().out
    for words in ("usage: python -m deepunlearn.measure", "plan=true", "largest", "default", "not computed"):
        assert words in told


# --------------------------------------------------------------------------------------------------- what the docs say


def test_the_catalogue_is_as_the_files_are() -> None:
    told = measure_list.PAGE.read_text(encoding="utf-8")
    assert told == measure_list.page(), "run python -m tests.measure_list and commit docs/measures.md"


@pytest.mark.parametrize("name", known_measures(Folders()))
def test_each_of_ours_says_what_it_costs_and_what_it_does_not_say(name: str) -> None:
    one = known_measures(Folders())[name]
    assert one.cost and one.limits and one.source and not one.default
