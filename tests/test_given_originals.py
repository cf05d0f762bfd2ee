"""Sweeps on models of one's own, through the command line: with the recipe that they were trained by, and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deepunlearn import archs
from deepunlearn.archs.weights import load_trained
from deepunlearn.config import read_command
from deepunlearn.core.paths import Results
from deepunlearn.measure import main as measure
from deepunlearn.report import main as report
from deepunlearn.tables import main as tables
from tests.commands import called, tree

DATA = ("dataset=digits", "arch=smallnet", "dataset.limit=300", "runtime.threads=1")
RECIPE = {"epochs": 6, "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "batch_size": 32}
FT = ("method=ft", "search=none", "method.params.epochs=1")
PAIR = ("reference.original=[one.safetensors,two.pt]", "seeds=2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ordinary sweep in first/, and its originals as a user would keep them."""
    folder = tmp_path_factory.mktemp("given")
    done = called(folder, *DATA, *FT, "seeds=2", "results=first", *(f"train.{name}={RECIPE[name]}" for name in RECIPE))
    assert done.returncode == 0, done.stderr
    one, two = (reference(folder / "first", "original", seed) / "weights.safetensors" for seed in (0, 1))
    shutil.copy(one, folder / "one.safetensors")
    torch.save({"epoch": 6, "state_dict": {f"module.{k}": v for k, v in load_file(two).items()}}, folder / "two.pt")
    (folder / "recipe.yaml").write_text("".join(f"{name}: {value}\n" for name, value in RECIPE.items()))
    return folder


def reference(results: Path, role: str, seed: int) -> Path:
    (found,) = Results(results).store.glob(f"digits/smallnet/reference/{role}/seed{seed}-*")
    return found


def rows(results: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """By method and seed."""
    found = [json.loads(path.read_text()) for path in results.rglob("row.json")]
    return {(row["method"], row["seed"]): row for row in found}


@pytest.fixture(scope="module")
def with_recipe(trained: Path) -> Path:
    done = called(trained, *DATA, *FT, *PAIR, "reference.recipe=recipe.yaml", "results=with")
    assert done.returncode == 0, done.stderr
    assert "seed 1: " in done.stdout and "two.pt" in done.stdout and "warning" not in done.stderr
    return trained / "with"


@pytest.fixture(scope="module")
def without(trained: Path, with_recipe: Path) -> Path:
    """The same without a recipe, in a folder that has the models already."""
    shutil.copytree(with_recipe / "store", trained / "without" / "store")
    shutil.copytree(with_recipe / "cache", trained / "without" / "cache")
    done = called(trained, *DATA, *FT, *PAIR, "results=without", "measures=[aus,relearn]")
    assert done.returncode == 0, done.stderr
    assert "no retrained model" in done.stdout and ": unlearned in" not in done.stderr
    return trained / "without"


@pytest.mark.slow
def test_an_original_is_taken_as_it_is_and_its_retrained_twin_is_that_of_the_recipe(
    trained: Path, with_recipe: Path
) -> None:
    for seed in (0, 1):
        files = [("original", "logits.npz"), ("retrained", "logits.npz"), ("retrained", "weights.safetensors")]
        for role, file in files:
            own, first = (reference(results, role, seed) / file for results in (with_recipe, trained / "first"))
            assert own.read_bytes() == first.read_bytes(), f"{role} {seed} {file}"
        own, first = (reference(results, "original", seed) for results in (with_recipe, trained / "first"))
        assert own.name != first.name and not (own / "history.json").exists()
        weights, wanted = (load_file(one / "weights.safetensors") for one in (own, first))
        assert all(torch.equal(weights[name], value) for name, value in wanted.items())
    assert reference(with_recipe, "retrained", 0).name == reference(trained / "first", "retrained", 0).name


@pytest.mark.slow
def test_it_is_scored_as_if_the_sweep_had_trained_it(trained: Path, with_recipe: Path) -> None:
    own, first = rows(with_recipe), rows(trained / "first")
    assert own.keys() == first.keys()
    for seed in (0, 1):
        same = ("RA", "FA", "TA", "RetDev", "MIA_AUC", "L2_retrained", "train_epochs", "train_lr")
        assert {name: own["original", seed][name] for name in same} == {
            name: first["original", seed][name] for name in same
        }
        assert own["original", seed]["seconds"] is None and own["ft", seed]["RTE"] > 0
        assert own["ft", seed]["given_original"].startswith(("one.safetensors (", "two.pt (")[seed])
        assert first["ft", seed]["given_original"] is None
    assert own["original", 0]["cell"] == own["retrained", 1]["cell"] == own["ft", 0]["cell"] != first["ft", 0]["cell"]


@pytest.mark.slow
def test_the_same_command_has_nothing_to_do_and_moved_files_change_nothing(trained: Path, with_recipe: Path) -> None:
    moved = trained / "moved"
    moved.mkdir()
    for name in ("one.safetensors", "two.pt", "recipe.yaml"):
        shutil.copy(trained / name, moved / f"x-{name}")
    again = called(trained, *DATA, *FT, "reference.original=[moved/x-one.safetensors,moved/x-two.pt]", "seeds=2",
                   "reference.recipe=moved/x-recipe.yaml", "results=with")  # fmt: skip
    assert again.returncode == 0 and "nothing to do" in again.stdout, again.stdout + again.stderr


@pytest.mark.slow
def test_without_a_recipe_nothing_is_retrained_and_what_needs_it_has_no_value(without: Path, with_recipe: Path) -> None:
    run = next((without / "runs").iterdir())
    asked = json.loads((run / "expected.json").read_text())
    assert {line["method"] for line in asked} == {"original", "ft"}
    cell = asked[0]["cell"]
    own = {(row["method"], row["seed"]): row for path in without.rglob("row.json")
           if (row := json.loads(path.read_text()))["cell"] == cell}  # fmt: skip
    beside = rows(with_recipe)
    assert own.keys() == {(name, seed) for name in ("original", "ft") for seed in (0, 1)}
    for key, row in own.items():
        held = ("RR", "FR", "TR", "RetDev", "gap", "ToW", "RTE", "L2_retrained", "train_epochs", "train_lr")
        assert {row[name] for name in held} == {None}
        assert {name: row[name] for name in ("RA", "FA", "TA", "VA", "moved")} == {
            name: beside[key][name] for name in ("RA", "FA", "TA", "VA", "moved")
        }, "the models are the same"
        assert "no retrained model" in row["reason"] and row["Indisc"] is not None
    models = [sorted(path.name for path in one.glob("store/*/*/unlearned/ft/*")) for one in (without, with_recipe)]
    assert models[0] == models[1], "nothing is unlearned again"
    assert len(list(without.glob("store/*/*/measures/ft/*"))) == 2 * 2


@pytest.mark.slow
def test_tables_and_page_say_so_and_keep_the_two_apart(without: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables([f"results={without}"]) == 0
    said = capsys.readouterr().out
    assert "There is no retrained model" in said and "RetDev undefined: no retrained model" in said
    assert "originals given, not trained here: one.safetensors (sha256" in said
    files = sorted(path.name for path in (without / "tables").glob("digits-smallnet*.md"))
    assert len(files) == 2, "one of each cell"
    bare = [text for name in files if "There is no retrained" in (text := (without / "tables" / name).read_text())]
    assert len(bare) == 1 and "| retrained" not in bare[0] and "AUS" in bare[0]
    assert report([f"results={without}"]) == 0
    page = (without / "index.html").read_text()
    assert "no retrained model" in page
    assert "originals given, not trained here, their recipe not known" in page
    assert "originals given, not trained here, 6 epochs" in page


@pytest.mark.slow
def test_measures_asked_for_later_leave_out_what_needs_a_retrained_model(
    trained: Path, without: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = trained / "alone"
    shutil.copytree(without, alone)
    assert measure([f"results={alone}", "measures=[f1,divergence]"]) == 0
    assert "divergence needs the retrained model, and there is none" in "".join(capsys.readouterr())
    keys = [json.loads(path.read_text())["key"] for path in alone.glob("store/*/*/measures/ft/*/config.json")]
    names = {key["measure"] for key in keys}
    assert names == {"aus", "relearn", "f1"}


@pytest.mark.slow
def test_a_search_is_held_against_the_twin_of_the_recipe(trained: Path) -> None:
    done = called(trained, *DATA, "method=ft", "reference.original=one.safetensors", "seeds=1", "results=searched",
                  "reference.recipe=recipe.yaml", "search=quick", "search.trials=2", "search.seeds=1",
                  "search.max_epochs=1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = rows(trained / "searched")["ft", 0]
    assert row["search"] == "quick" and row["RetDev"] is not None


@pytest.mark.slow
def test_requests_one_after_the_other_start_from_the_given_model(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they do from an original of the sweep's own; without its recipe there is no more than what that needs."""
    rounds = (*DATA, *FT, "forget.schedule=[12,8]", "seeds=1")
    given = "reference.original=one.safetensors"
    own = called(trained, *rounds, "results=own", *(f"train.{name}={RECIPE[name]}" for name in RECIPE))
    twins = called(trained, *rounds, given, "reference.recipe=recipe.yaml", "results=given")
    alone = called(trained, *rounds, given, "results=alone")
    assert [one.returncode for one in (own, twins, alone)] == [0, 0, 0], own.stderr + twins.stderr + alone.stderr
    assert len(list(Results(trained / "given").store.glob("digits/smallnet/reference/original/*"))) == 1
    found = {name: by_round(trained / name) for name in ("own", "given", "alone")}
    for model in found["own"]:
        trained_here, taken = found["own"][model], found["given"][model]
        for score in (*SCORES, "RetDev", "RR"):
            assert taken[score] == trained_here[score], (model, score)
        if model[0] == "retrained":
            assert model not in found["alone"]
            continue
        assert all(found["alone"][model][score] == taken[score] for score in SCORES), model
        assert found["alone"][model]["RetDev"] is None
    assert found["alone"]["ft", 2]["FA_earlier"] is not None
    assert tables([f"results={trained / 'alone'}"]) == 0
    assert "in 2 requests: what becomes of earlier requests" in capsys.readouterr().out


SCORES = ("RA", "FA", "TA", "MIA_AUC", "Disc_AUC", "FA_request", "FA_earlier", "Disc_AUC_request", "n_forget")


def by_round(results: Path) -> dict[tuple[str, int], dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in results.rglob("row.json")]
    return {(row["method"], row["round"]): row for row in found}


@pytest.mark.slow
def test_a_network_by_name_can_be_given_and_an_untrained_one_is_told(tmp_path: Path) -> None:
    given = (*DATA[:1], *DATA[2:], "arch=torchvision", "arch.model=shufflenet_v2_x0_5", "seeds=1")
    arch = read_command(given).sweep.cells[0].arch
    torch.save(archs.build(arch, 10, 32, seed=7).state_dict(), tmp_path / "net.pt")
    done = called(tmp_path, *given, *FT, "reference.original=net.pt")
    assert done.returncode == 0, done.stderr
    assert "warning: it is right on" in done.stderr and "dataset.mean" in done.stderr
    (taken,) = tmp_path.glob("results/store/digits/*/reference/original/*/weights.safetensors")
    model = archs.build(arch, 10, 32, seed=8)
    load_trained(str(taken), "", model)
    wanted = archs.build(arch, 10, 32, seed=7).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_a_file_that_does_not_fit_is_refused_before_anything_is_stored(trained: Path, tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.pt"):
        shutil.copy(trained / name, tmp_path / name)
    before = {name for name in tree(tmp_path) if "cache" not in name}
    other = called(tmp_path, *DATA[:1], "arch=resnet18", *DATA[2:], *FT, *PAIR)
    assert other.returncode == 2 and "not those of this network" in other.stderr
    (tmp_path / "two.pt").write_bytes(b"no tensors")
    broken = called(tmp_path, *DATA, *FT, *PAIR)
    assert broken.returncode == 2 and "two.pt cannot be read" in broken.stderr
    assert {name for name in tree(tmp_path) if "cache" not in name} == before
