"""What docs/adding.md shows is short, and runs as it stands from an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.config.plugins import read as plugin_values
from deepunlearn.core.errors import ConfigError
from deepunlearn.data.sources import find, read
from deepunlearn.registry import KINDS, Folders, get
from tests.commands import run_command
from tests.plugins import put

DOCS = Path(__file__).parent.parent / "docs" / "adding.md"
EXAMPLES = {"dataset": "stripes", "arch": "plain", "forget": "class_part", "measure": "confidence", "attack": "entropy"}
TITLES = {
    "dataset": "A dataset",
    "arch": "An architecture",
    "forget": "A kind of forget set",
    "measure": "A measure",
    "attack": "An attack",
}
LONGEST = 30


def section(title: str) -> str:
    text = DOCS.read_text(encoding="utf-8")
    return next(part for part in text.split("\n## ") if part.startswith(title))


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"no {language}"
    return found[1]


def write_example(kind: str, root: Path) -> str:
    """The documented files of a kind below `root`/my_plugins; the section that shows them."""
    text = section(TITLES[kind])
    folder = root / "my_plugins" / kind
    folder.mkdir(parents=True)
    for language, ending in (("python", "py"), ("yaml", "yaml")):
        (folder / f"{EXAMPLES[kind]}.{ending}").write_text(block(text, language))
    return text


def write_stripes(root: Path) -> None:
    """The file that the documented dataset reads."""
    arrays = {}
    for part, size in (("train", 320), ("test", 80)):
        labels = np.arange(size) % 2
        images = np.zeros((size, 32, 32), dtype=np.uint8)
        images[labels == 0, ::4] = images[labels == 1, :, ::4] = 200
        noise = np.random.RandomState(size).randint(0, 50, images.shape).astype(np.uint8)
        arrays |= {f"{part}_labels": labels.astype(np.int64), f"{part}_images": images + noise}
    (root / "stripes").mkdir()
    np.savez(root / "stripes" / "stripes.npz", **arrays)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_short(kind: str, tmp_path: Path) -> None:
    text = write_example(kind, tmp_path)
    for language in ("python", "yaml"):
        assert len(block(text, language).splitlines()) < LONGEST


WORDS = {  # kind -> how the table of docs/architecture.md calls it
    "method": "method",
    "dataset": "dataset",
    "arch": "architecture",
    "forget": "kind of forget set",
    "measure": "measure (a column of scores)",
    "attack": "attack",
}


def test_what_is_added_is_two_files_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """docs/architecture.md tells how many files each kind takes, and how many it took."""
    assert set(WORDS) == set(KINDS)
    for kind in EXAMPLES:
        write_example(kind, tmp_path)
    text = section("A method")
    put(tmp_path / "my_plugins", "method", "mine", block(text, "python"), block(text, "yaml"))
    folders = Folders(plugins=str(tmp_path / "my_plugins"))
    told = DOCS.with_name("architecture.md").read_text(encoding="utf-8")
    for kind, word in WORDS.items():
        name = {"method": "mine", **EXAMPLES}[kind]
        files = sorted(path.name for path in (tmp_path / "my_plugins" / kind).iterdir())
        assert files == [f"{name}.py", f"{name}.yaml"]
        own = get(kind, name, folders)
        assert plugin_values(own)["name"] == name and not own.built_in
        assert re.search(rf"^\| {re.escape(word)} \| \d+ \| {len(files)} \|$", told, re.MULTILINE), word


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_documented_commands_run_on_the_documented_files(kind: str, tmp_path: Path) -> None:
    text = write_example(kind, tmp_path)
    write_stripes(tmp_path)
    for command in block(text, "bash").splitlines():
        python, option, module, *arguments = shlex.split(command)
        assert (python, option) == ("python", "-m")
        quick = ["train.epochs=1"] if module == "deepunlearn.sweep" else []
        done = run_command(module.removeprefix("deepunlearn."), tmp_path, *arguments, *quick)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "results" / "store").rglob("rows/**/config.json"))


def test_a_plug_in_is_composed_with_its_recipe_and_can_be_overridden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in EXAMPLES:
        write_example(kind, tmp_path)
    write_stripes(tmp_path)
    monkeypatch.chdir(tmp_path)
    own = ["dataset=stripes", "arch=plain", "forget=class_part", "forget.label=1", "plugins=my_plugins"]
    (cell,) = read_command([*own, "dataset.limit=100", "train.lr=0.01"]).sweep.cells
    assert (cell.dataset.name, cell.dataset.limit, cell.train.epochs, cell.train.lr) == ("stripes", 100, 5, 0.01)
    assert cell.arch.code is not None and cell.forget.code is not None, "their code is part of identity"
    assert cell.forget.model_dump()["label"] == 1
    data = read(cell.dataset, find(cell.dataset))
    assert (data.class_names, len(data.train.labels)) == (("along", "across"), 320)
    with pytest.raises(ConfigError, match="unknown dataset 'stripes'"):
        read_command(["dataset=stripes"])


@pytest.mark.slow
def test_an_edited_reader_reads_its_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_example("dataset", tmp_path)
    write_stripes(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = read_command(["dataset=stripes", "plugins=my_plugins"]).sweep.cells[0].dataset
    before = find(config).fingerprint()
    code = tmp_path / "my_plugins" / "dataset" / "stripes.py"
    code.write_text(code.read_text() + "# edited\n")
    assert find(config).fingerprint() != before


@pytest.mark.parametrize("function", ["find", "read"])
def test_a_reader_that_returns_something_else_is_told(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_example("dataset", tmp_path)
    write_stripes(tmp_path)
    monkeypatch.chdir(tmp_path)
    code = tmp_path / "my_plugins" / "dataset" / "stripes.py"
    code.write_text(code.read_text() + f"\n\n{function} = lambda *_: 5\n")
    config = read_command(["dataset=stripes", "plugins=my_plugins"]).sweep.cells[0].dataset
    with pytest.raises(ConfigError, match=f"{function} of dataset 'stripes' returns the wrong thing"):
        read(config, find(config))


def test_a_dataset_without_code_reads_a_known_format(tmp_path: Path) -> None:
    folder = tmp_path / "my_plugins" / "dataset"
    folder.mkdir(parents=True)
    (folder / "cats.yaml").write_text("# cats\nname: cats\ntitle: Cats\nsource: folder\nroot: cats\n")
    given = [f"plugins={tmp_path / 'my_plugins'}", "dataset=cats"]
    (cell,) = read_command([*given, "train=folder"]).sweep.cells
    assert (cell.dataset.source, cell.dataset.title, cell.dataset.module) == ("folder", "Cats", None)
    with pytest.raises(ConfigError, match="unknown train 'cats'") as error:
        read_command(given)
    assert error.value.remedy is not None and "train: {...}" in error.value.remedy
