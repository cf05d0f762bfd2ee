"""Models of one's own in a sweep: which files and recipes are taken, what identifies them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.config.architectures import identified
from deepunlearn.config.hparams_file import read_hparams
from deepunlearn.config.originals import Originals, read_originals
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import SweepConfig, TrainConfig
from tests.commands import refusal

SIZES = {"retain": 100, "forget": 10, "val": 20}
RECIPE = "epochs: 8\nlr: 0.05\nmomentum: 0.9\nweight_decay: 5.0e-4\nbatch_size: 64\n"
SAID = ("train.epochs=8", "train.lr=5e-2", "train.momentum=0.9", "train.weight_decay=5e-4", "train.batch_size=64")
PLAIN = ("arch=smallnet", "method=ft", "search=none")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are given in, with files of two models and a recipe. Nothing here reads weights."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "b.pt", "m0.pt", "m3.pt"):
        Path(name).write_text(name)
    Path("same.pt").write_text("a.pt")
    Path("recipe.yaml").write_text(RECIPE)
    return tmp_path


def command(*arguments: str) -> SweepConfig:
    return read_command([*PLAIN, *arguments]).sweep


def keys(*arguments: str) -> CellKeys:
    return CellKeys(command(*arguments).cells[0], "ab" * 32, 10, lambda _: SIZES)


def originals(original: object, recipe: object = None, seeds: tuple[int, ...] = (0,), *more: str) -> Originals:
    return read_originals({"original": original, "recipe": recipe}, seeds, more)


@pytest.mark.usefixtures("here")
def test_each_seed_has_its_own_file() -> None:
    cases = [("a.pt", (0,), ["a.pt"]), (["b.pt", "a.pt"], (3, 1), ["b.pt", "a.pt"])]
    cases += [(one, (0, 3), ["m0.pt", "m3.pt"]) for one in ("m{seed}.pt", ["m{seed}.pt"])]
    for original, seeds, expected in cases:
        given = originals(original, None, seeds).given
        assert given is not None
        assert [(file.seed, Path(file.path).name) for file in given.files] == list(zip(seeds, expected, strict=True))


@pytest.mark.usefixtures("here")
def test_a_name_for_all_seeds_needs_no_quotes() -> None:
    for pattern in ("m{seed}.pt", "'m{seed}.pt'"):
        given = command(f"reference.original={pattern}", "seeds=[0,3]").cells[0].given
        assert given is not None and [Path(file.path).name for file in given.files] == ["m0.pt", "m3.pt"]


def test_a_home_folder_may_be_written_short(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells leave ~ as it is behind a name with a dot."""
    monkeypatch.setenv("HOME", str(here))
    short, long = (originals(f"{home}/a.pt", f"{home}/recipe.yaml") for home in ("~", here))
    assert short == long and short.given is not None and short.train is not None
    Path("h.yaml").write_text("digits/smallnet/ft: {lr: 0.1}")
    assert read_hparams("~/h.yaml", "search.winners") == {"digits/smallnet/ft": {"lr": 0.1}}
    values = {"name": "smallnet", "title": "net", "module": "deepunlearn.archs.small"}
    assert identified({**values, "weights": "~/a.pt"}) == identified({**values, "weights": f"{here}/a.pt"})


@pytest.mark.usefixtures("here")
def test_retrained_models_are_those_of_a_sweep_with_the_recipe() -> None:
    given, trained = keys("reference.original=a.pt", "reference.recipe=recipe.yaml", "seeds=1"), keys(*SAID, "seeds=1")
    assert given.reference("retrained", 0) == trained.reference("retrained", 0)
    assert given.reference("original", 0) != trained.reference("original", 0)
    assert given.cell_key != trained.cell_key, "their rows are no lines of one table"


def test_a_file_counts_by_its_content_and_a_recipe_by_its_values(here: Path) -> None:
    first = keys("reference.original=a.pt", "reference.recipe=recipe.yaml", "seeds=1")
    (here / "recipe.yaml").rename(here / "other.yaml")
    spelled = RECIPE.replace("0.05", "5e-2").replace("batch_size: 64", "")
    (here / "other.yaml").write_text("batch_size: 64.0\n" + spelled)
    (here / "a.pt").rename(here / "c.pt")
    same = keys("reference.original=c.pt", "reference.recipe=other.yaml", "seeds=1")
    for role in ("original", "retrained"):
        assert same.reference(role, 0).hash == first.reference(role, 0).hash
    assert same.cell_key.hash == first.cell_key.hash
    assert "c.pt" not in str(same.cell_key.canonical()) + str(same.reference("original", 0).canonical())
    other = keys("reference.original=b.pt", "reference.recipe=other.yaml", "seeds=1")
    assert other.reference("original", 0).hash != first.reference("original", 0).hash
    assert other.cell_key.hash != first.cell_key.hash


@pytest.mark.usefixtures("here")
def test_unlearning_a_given_original_does_not_depend_on_the_recipe_of_retrained_ones() -> None:
    """So that a recipe can be given later, and nothing is unlearned again."""
    sweeps = [command("reference.original=a.pt", "seeds=1", "forget.ratio=0.2", *more)
              for more in ((), ("reference.recipe=recipe.yaml",))]  # fmt: skip
    made = [CellKeys(sweep.cells[0], "ab" * 32, 10, lambda _: SIZES) for sweep in sweeps]
    models = [one.unlearned(sweep.methods[0], sweep.methods[0].complete({}), 0)
              for one, sweep in zip(made, sweeps, strict=True)]  # fmt: skip
    assert models[0] == models[1] and made[0].randomness_of(0) == made[1].randomness_of(0)
    assert made[0].metrics(models[0], 0) != made[1].metrics(models[1], 0)
    assert made[0].cell_key != made[1].cell_key
    other = keys("reference.original=a.pt", "seeds=1", "forget.ratio=0.3")
    assert other.randomness_of(0) != made[0].randomness_of(0)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_forget_sets_share_a_given_original() -> None:
    sweep = command("reference.original=a.pt", "seeds=1", "forget.ratio=0.1,0.2")
    assert SweepConfig.model_validate_json(sweep.model_dump_json()).cells == sweep.cells, "workers read it so"
    made = [CellKeys(cell, "ab" * 32, 10, lambda _: SIZES) for cell in sweep.cells]
    first, second = (one.reference("original", 0) for one in made)
    assert first == second and made[0].cell_key != made[1].cell_key


@pytest.mark.usefixtures("here")
def test_without_a_recipe_there_is_no_retrained_model() -> None:
    bare = keys("reference.original=a.pt", "seeds=1")
    assert not bare.cell.retrains and bare.retrained(0) is None
    with pytest.raises(AssertionError):
        bare.reference("retrained", 0)


def test_every_value_of_a_recipe_is_asked_for(here: Path) -> None:
    for name in TrainConfig.model_fields:
        lines = [line for line in RECIPE.splitlines(keepends=True) if not line.startswith(f"{name}:")]
        (here / "short.yaml").write_text("".join(lines))
        with pytest.raises(ConfigError, match=f"no {name}"):
            originals("a.pt", "short.yaml")


FILES = {  # reference.original, reference.recipe, seeds, further options, what the message must name
    "no such file": ("c.pt", None, 1, (), ["c.pt", "torch.save"]),
    "a folder": (".", None, 1, (), ["no such file"]),
    "no file at all": ([], None, 1, (), ["reference.original=[]", "{seed}"]),
    "an empty name": ([""], None, 1, (), ["reference.original=['']"]),
    "a number": (3, None, 1, (), ["reference.original=3"]),
    "fewer files than seeds": (["a.pt", "b.pt"], None, 3, (), ["fewer", "2 files", "seeds=2"]),
    "one file and the usual seeds": ("a.pt", None, 10, (), ["fewer", "10 seeds", "seeds=1"]),
    "more files than seeds": (["a.pt", "b.pt"], None, 1, (), ["more", "2 files", "seeds=2"]),
    "a file twice": (["a.pt", "a.pt"], None, 2, (), ["same model", "seed 0", "seed 1"]),
    "its copy": (["a.pt", "same.pt"], None, 2, (), ["same model", "same.pt"]),
    "a pattern with a hole": ("m{seed}.pt", None, 2, (), ["m1.pt"]),
    "a recipe alone": (None, "recipe.yaml", 1, (), ["recipe.yaml", "reference.original=", "train."]),
    "no such recipe": ("a.pt", "none.yaml", 1, (), ["none.yaml", "batch_size"]),
    "a recipe that is no file": ("a.pt", 3, 1, (), ["reference.recipe=3"]),
    "a list": ("a.pt", "list.yaml", 1, (), ["list.yaml", "no recipe"]),
    "no YAML": ("a.pt", "broken.yaml", 1, (), ["broken.yaml", "not YAML"]),
    "a misspelt recipe": ("a.pt", "typo.yaml", 1, (), ["typo.yaml", "epoch", "did you mean 'epochs'"]),
    "a negative rate": ("a.pt", "rate.yaml", 1, (), ["rate.yaml", "train.lr", "-1", "greater than 0", "correct"]),
    "a recipe on the command line": ("a.pt", None, 1, ("train.epochs=3",), ["train.epochs=3", "reference.recipe=FILE"]),
    "and in both": ("a.pt", "recipe.yaml", 1, ("train.lr=0.1",), ["train.lr=0.1", "reference.recipe=FILE"]),
    "another recipe of ours": ("a.pt", None, 1, ("train=cifar10",), ["train=cifar10", "reference.recipe=FILE"]),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_taken_are_refused(case: str, here: Path) -> None:
    (here / "list.yaml").write_text("- 1\n")
    (here / "broken.yaml").write_text("epochs: [1\n")
    (here / "typo.yaml").write_text(RECIPE.replace("epochs", "epoch"))
    (here / "rate.yaml").write_text(RECIPE.replace("0.05", "-1"))
    original, recipe, seeds, more, named = FILES[case]
    with pytest.raises(ConfigError) as told:
        originals(original, recipe, tuple(range(seeds)), *more)
    assert told.value.allowed and told.value.remedy and told.value.given is not None
    assert not [name for name in named if name not in str(told.value)], told.value


ONE = ("reference.original=a.pt", "seeds=1")
WITH = (*ONE, "reference.recipe=recipe.yaml")
SWEEPS = {  # further options, what the message must name
    "a method of the learning phase": ((*WITH, "method=amnesiac"), ["amnesiac", "record", "leave amnesiac out"]),
    "an ensemble": ((*WITH, "method=ft,sisa"), ["sisa", "record"]),
    "two datasets": ((*ONE, "dataset=digits,mnist"), ["digits/smallnet", "mnist/smallnet", "one dataset"]),
    "two architectures": ((*ONE, "arch=smallnet,resnet18"), ["digits/resnet18", "one arch"]),
    "a search without a recipe": ((*ONE, "search=quick"), ["without a recipe", "search=none"]),
    "a search on other seeds": ((*WITH, "search=paper"), ["search seeds 1, 2", "search.seeds=1"]),
    "a held-out search": ((*WITH, "search=paper", "protocol=heldout"), ["10, 11, 12", "protocol=paper"]),
    "labels that it was not trained on": ((*ONE, "forget=mislabelled"), ["mislabelled", "trained for it"]),
    "a training that nobody saw": ((*ONE, "forget=difficulty"), ["difficulty", "trained for it"]),
    "a design of many models": ((*ONE, "forget=halves"), ["halves"]),
    "a measure of the retrained model": ((*ONE, "measures=[aus,divergence]"), ["divergence", "measures=[aus]"]),
    "a grid of files": (("reference.original=a.pt,b.pt", "seeds=2"), ["reference.original=[a.pt,b.pt]"]),
    "a misspelt option": (("reference.orignal=a.pt",), ["reference.orignal", "reference.original"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SWEEPS)
@pytest.mark.usefixtures("here")
def test_what_they_cannot_do_is_refused(case: str) -> None:
    arguments, named = SWEEPS[case]
    told = str(refusal(*PLAIN, *arguments))
    assert not [name for name in named if name not in told], told


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_search_runs_on_given_originals_where_there_are_enough() -> None:
    sweep = command("reference.original=[a.pt,b.pt]", "seeds=2", "reference.recipe=recipe.yaml", "search=quick",
                    "search.seeds=2")  # fmt: skip
    assert sweep.search_seeds(sweep.cells[0]) == (0, 1)
