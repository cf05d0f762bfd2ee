"""The runs of docs/findings.md: what its commands ask for, and the script that does them all."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from findings_cells import PAPER

from deepunlearn.analysis.records import gather
from deepunlearn.config import read_command

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
SEEDS = 10
SECTION = re.search(r"^## The runs\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
assert SECTION is not None
COMMANDS = re.findall(r"^python -m deepunlearn\..+$", SECTION[1], re.MULTILINE)
RUNS = [line.split()[3:] for line in COMMANDS if "deepunlearn.sweep" in line]


@pytest.mark.parametrize(
    ("title", "dataset", "gap"), [("CIFAR-10 x ResNet18", "cifar10", 0.05), ("MNIST x TinyViT", "mnist", 0.02)]
)
def test_the_recipe_meets_its_conditions_and_the_page_says_so(title: str, dataset: str, gap: float) -> None:
    rows = gather([ROOT / "results" / "findings_check"]).rows
    own = rows[rows["dataset"] == dataset].sort_values("seed")
    original, retrained = (own[own["method"] == name] for name in ("original", "retrained"))
    known = 0.9 * original["RA"] + 0.1 * original["FA"]  # D_F is a tenth of D
    (line,) = re.findall(rf"^\| {title} \|(.+)\| above ([\d.]+) \|$", PAGE, re.MULTILINE)
    told = [list(map(float, cell.split(","))) for cell in line[0].split("|")]
    for said, values in zip(told, (known, original["FA"], retrained["FA"], retrained["Indisc"]), strict=True):
        assert said == pytest.approx(list(values), abs=0.00051)
    assert known.min() >= 0.95 and original["FA"].min() - retrained["FA"].max() >= gap
    assert retrained["Indisc"].min() > float(line[1])


def test_the_page_has_every_run_that_a_question_asks_for_and_all_are_confirmed() -> None:
    named = {words[0].removeprefix("sweep=") for words in RUNS if "results=runs/findings" in words}
    assert named == {path.stem for path in (ROOT / "sweeps").glob("findings*.yaml")}
    assert all("confirm=true" in words for words in RUNS)


@pytest.mark.parametrize(
    ("fails", "code", "ran"), [("findings_ff", 1, COMMANDS), ("findings_defaults", 2, COMMANDS[:4])]
)
def test_one_script_shows_all_plans_and_then_runs_what_the_page_tells(
    fails: str, code: int, ran: list[str], tmp_path: Path
) -> None:
    """A model that came to nothing does not end it; a command that was refused does."""
    python, said = tmp_path / "python", tmp_path / "said"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {said}\ncase "$*" in *plan=true) ;; *"sweep={fails} "*) exit {code} ;; esac\n'
    )
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = [str(ROOT / "scripts" / "findings.sh"), "my images"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if code == 1 else code), done.stderr
    plans = [f"{line} plan=true" for line in COMMANDS if "deepunlearn.tables" not in line]
    asked = [line.replace("datasets/cifar10-images", "'my images'") for line in (*plans, *ran)]
    assert said.read_text().splitlines() == [" ".join(shlex.split(line)[1:]) for line in asked]


def test_runs_in_a_cell_have_one_recipe_and_none_takes_more_epochs_by_its_steps_than_a_search_may() -> None:
    found = {words[0]: read_command(words).sweep for words in RUNS if "results=runs/findings" in words}
    recipes = {(one.cells[0].dataset, one.cells[0].train) for name, one in found.items() if "mnist" not in name}
    assert len(recipes) == 1 and {len(one.seeds) for one in found.values()} == {SEEDS}
    for sweep in (one for one in found.values() if one.search.sampler):
        (cell,) = sweep.cells
        retained = (cell.dataset.limit or 0) * (1 - cell.dataset.val_ratio) * 0.9
        samples = [
            float(method.fixed[name]) * float(method.fixed[f"{name.removesuffix('steps')}batch_size"])
            for method in sweep.methods
            for name in method.with_role("steps")
        ]
        assert max(samples, default=0) <= cell.epoch_limit(sweep.search) * retained
    assert {method.name for method in found["sweep=findings"].methods} > {*PAPER}


def test_of_a_folder_with_records_git_takes_these_alone() -> None:
    made = [f"results/findings/1/{name}" for name in ("store/x", "cache/x", "runs/x", "search/x", "work/x", "claims/x")]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *made, "runs/x/store", "results/findings/1/records/rows.parquet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.split() == [*made, "runs/x/store"]
