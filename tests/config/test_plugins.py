"""A folder of configurations outside the package: `plugins=DIR`, which Hydra's users call `--config-dir DIR`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepunlearn.config import read_command
from tests.commands import refusal, run_command, sweep

TRAIN = "# short\nepochs: 1\nlr: 0.1\nmomentum: 0.9\nweight_decay: 0.0\nbatch_size: 64\n"


def write(root: Path, group: str, name: str, text: str) -> None:
    (root / group).mkdir(parents=True, exist_ok=True)
    (root / group / f"{name}.yaml").write_text(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    write(tmp_path / "own", "train", "short", TRAIN)
    write(tmp_path / "own", "search", "mine", "# mine\ndefaults:\n  - fast\nname: mine\ntrials: 2\n")
    write(tmp_path / "own", "launcher", "ours", "# ours\ndefaults:\n  - slurm\npartition: short\n")
    return tmp_path / "own"


def test_groups_of_values_are_chosen_from_it(own: Path) -> None:
    words = ["search=mine", "train=short", "launcher=ours", "launcher.extra.nodelist=a1"]
    read = read_command(["--config-dir", str(own), *words, "search.seeds=2"]).sweep
    assert (read.search.name, read.search.trials, read.search.sampler, read.search.seeds) == ("mine", 2, "tpe", 2)
    assert read.cells[0].train.lr == 0.1
    assert read.launcher.model_dump()["partition"] == "short"
    assert read.launcher.model_dump()["extra"] == {"nodelist": "a1"}
    assert read_command([f"plugins={own}", *words, "search.seeds=2"]).sweep == read


def test_it_is_forgotten_by_the_next_command(own: Path) -> None:
    read_command([f"plugins={own}", "search=mine"])
    assert "mine" in str(refusal("search=mine").given)


def test_an_option_of_it_is_known_and_a_misspelt_one_refused(own: Path) -> None:
    assert "did you mean" in str(refusal(f"plugins={own}", "search=mine", "search.trails=3").remedy)
    assert "did you mean 'short'" in str(refusal(f"plugins={own}", "train=shrt").remedy)


def test_a_name_that_there_is_and_one_that_results_would_show_wrongly_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", "search", "paper", "# mine\nname: paper\n")
    assert refusal(f"plugins={tmp_path / 'a'}").problem == "there are two of the same name: search=paper"
    write(tmp_path / "b", "search", "mine", "# mine\ndefaults: [paper]\n")
    assert refusal(f"plugins={tmp_path / 'b'}").allowed == "name: mine"
    write(tmp_path / "c", "trian", "short", TRAIN)
    assert "rename it to train" in str(refusal(f"plugins={tmp_path / 'c'}").remedy)


def test_it_may_have_sweep_files(own: Path) -> None:
    write(own, "sweeps", "mine", "# mine\ncells: [{dataset: digits, arch: smallnet}]\noverrides: [search=mine]\n")
    read = read_command(["sweep=mine", "-cd", str(own)])
    assert (read.name, read.sweep.search.name) == ("mine", "mine")
    assert read_command([f"plugins={own}", "sweep=demo"]).name == "demo"
    wrong = refusal(f"plugins={own}", "sweep=mien")
    assert "demo" in str(wrong.allowed) and "mine" in str(wrong.allowed)
    assert "mine" not in str(refusal("sweep=mine").allowed)


def test_a_folder_of_sweep_files_alone_will_do_and_one_of_our_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "sweeps", "mine", "cells: [{dataset: digits, arch: smallnet}]\n")
    assert read_command([f"plugins={tmp_path}", "sweep=mine"]).name == "mine"
    write(tmp_path, "sweeps", "demo", "cells: [{dataset: digits, arch: smallnet}]\n")
    assert refusal(f"plugins={tmp_path}", "sweep=demo").problem == "there are two of the same name: sweep=demo"


@pytest.mark.parametrize("words", [[], ["sweep=mine"]])
def test_a_folder_that_is_not_there_is_told_in_the_words_of_whoever_typed_it(words: list[str], tmp_path: Path) -> None:
    wrong = refusal("-cd", str(tmp_path / "none"), *words)
    assert wrong.problem == "the folder of plug-ins is not there" and wrong.given == str(tmp_path / "none")
    assert "plugins=DIR or --config-dir DIR" in str(wrong.remedy)


@pytest.mark.slow
def test_a_sweep_remembers_what_it_had_from_there(own: Path, tmp_path: Path) -> None:
    small = ("arch=smallnet", "method=ft", "search=none", "seeds=1", "dataset.limit=300", "runtime.threads=1")
    done = sweep(tmp_path, "--config-dir", "own", "train=short", *small)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "results" / "runs").iterdir()
    assert (run / "command.txt").read_text().split()[-1] == "plugins=own"
    assert json.loads((run / "sweep.json").read_text())["cells"][0]["train"]["lr"] == 0.1
    assert "nothing to do" in sweep(tmp_path, *(run / "command.txt").read_text().split()[3:]).stdout
    (own / "train" / "short.yaml").unlink()
    assert "evaluate" in run_command("status", tmp_path).stdout, "a status needs no folder: the run has the values"
