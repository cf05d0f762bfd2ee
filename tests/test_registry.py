"""What is registered, from where, and what is said of files that cannot be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from deepunlearn.config.plugins import read as read_yaml
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.plugin_code import digest, functions, load, only_class
from deepunlearn.registry import KINDS, Folders, get, registered
from tests.plugins import put


@pytest.mark.parametrize("kind", ["method", "arch", "dataset", "forget"])
def test_ours_are_the_files_of_conf(kind: str) -> None:
    found = registered(kind)
    assert set(found) == {file.stem for file in (shipped("conf") / kind).glob("*.yaml")}
    assert all(one.built_in and one.module is None for one in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_a_kind_brings_its_plug_ins(kind: str, tmp_path: Path) -> None:
    folders = put(tmp_path, kind, "mine", "x = 1\n")
    one = get(kind, "mine", folders)
    assert not one.built_in and one.module == str(tmp_path / kind / "mine.py") and load(one.module).x == 1
    assert "mine" not in registered(kind), "a folder counts for the command that names it"
    others = [other for other in KINDS if other != kind]
    assert not any("mine" in registered(other, folders) for other in others)


def test_a_package_is_one_plug_in_and_all_its_files_are_its_code(tmp_path: Path) -> None:
    folders = put(tmp_path, "method", "mine", code=None)
    package = tmp_path / "method" / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import x\n")
    (package / "inner.py").write_text("x = 1\n")
    module = get("method", "mine", folders).module
    assert module is not None and load(module).x == 1
    before = digest([module])
    (package / "inner.py").write_text("x = 2\n")
    assert digest([module]) != before


def test_only_what_brings_its_own_code_needs_it(tmp_path: Path) -> None:
    folders = put(tmp_path, "dataset", "mine", code=None)
    assert get("dataset", "mine", folders).module is None
    put(tmp_path, "method", "mine", code=None)
    with pytest.raises(ConfigError, match=r"method 'mine' has no code") as error:
        registered("method", folders)
    assert "mine.py" in str(error.value.given)


def test_code_without_a_yaml_is_named(tmp_path: Path) -> None:
    put(tmp_path, "measure", "other")
    folders = put(tmp_path, "measure", "mine", yaml="none")
    with pytest.raises(ConfigError, match=r"measure 'mine' .* has no YAML"):
        registered("measure", folders)


def test_what_is_no_plug_in_has_a_way_out_of_their_folder(tmp_path: Path) -> None:
    folders = put(tmp_path, "arch", "mine")
    (tmp_path / "arch" / "__init__.py").touch()
    (tmp_path / "arch" / "__pycache__").mkdir()
    (tmp_path / "arch" / "__pycache__" / "__init__.py").touch()
    assert "mine" in registered("arch", folders)
    put(tmp_path, "arch", "utils", yaml="none")
    with pytest.raises(ConfigError, match=r"architecture 'utils' .* has no YAML") as error:
        registered("arch", folders)
    assert "moved elsewhere" in str(error.value.remedy)
    package = tmp_path / "arch" / "mine"
    package.mkdir()
    (tmp_path / "arch" / "mine.py").rename(package / "__init__.py")
    (tmp_path / "arch" / "utils.py").rename(package / "utils.py")
    assert registered("arch", folders)["mine"].module == str(package / "__init__.py")


def test_a_name_counts_once_within_a_kind(tmp_path: Path) -> None:
    put(tmp_path, "arch", "ft")
    folders = put(tmp_path, "method", "ft")
    assert "ft" in registered("arch", folders)
    with pytest.raises(ConfigError, match=r"two of the same name: method 'ft'") as error:
        registered("method", folders)
    assert error.value.given == f"of deepunlearn and in {tmp_path / 'method'}"


def test_a_name_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name of a dataset cannot be used"):
        registered("dataset", put(tmp_path, "dataset", "My-Data"))


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown dataset 'cifar1'") as error:
        get("dataset", "cifar1")
    assert error.value.remedy == "did you mean 'cifar10'?"


def test_a_folder_that_would_never_be_read_is_named(tmp_path: Path) -> None:
    folders = put(tmp_path, "methods", "mine")
    with pytest.raises(ConfigError, match="not that of a kind") as error:
        registered("method", folders)
    assert error.value.remedy is not None and "method" in error.value.remedy


def test_a_folder_without_plug_ins_is_named(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nosuch"):
        with pytest.raises(ConfigError, match="holds none" if root.exists() else "is not there") as error:
            registered("arch", Folders(plugins=str(root)))
        assert error.value.given == str(root)


def test_a_broken_import_names_file_and_line_and_keeps_its_traceback(tmp_path: Path) -> None:
    folders = put(tmp_path, "arch", "mine", "import json\njson.loads('{')\n")
    module = get("arch", "mine", folders).module
    assert module is not None
    with pytest.raises(ConfigError, match=r"JSONDecodeError: .*mine\.py, line 2") as error:
        load(module)
    assert error.value.__cause__ is not None and error.value.__cause__.__traceback__ is not None


def test_what_a_file_must_hold_is_said(tmp_path: Path) -> None:
    code = "class Mine(dict): pass\nclass Other: pass\ndef build(): ...\n"
    module = load(get("arch", "mine", put(tmp_path, "arch", "mine", code)).module or "")
    assert only_class(module, dict, "it").__name__ == "Mine"
    with pytest.raises(ConfigError, match="exactly one list") as error:
        only_class(module, list, "it")
    assert error.value.given == "Mine, Other"
    with pytest.raises(ConfigError, match="architecture 'mine' lacks parts"):
        functions(module, ("build", "parts"), "architecture 'mine'")


@pytest.mark.parametrize("kind", KINDS)
def test_an_installed_package_brings_its_own(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installer leaves it: a module with its YAML, a package with its YAML beside it, and the entry points."""
    package = tmp_path / f"theirs_{kind}"
    (package / "whole").mkdir(parents=True)
    for file in ("__init__.py", "mine.py", "whole/__init__.py"):
        (package / file).write_text(f"x = {file!r}\n")
    for name in ("mine", "whole"):
        (package / f"{name}.yaml").write_text(f"name: {name}\n")
    info = tmp_path / f"theirs_{kind}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: theirs_{kind}\nVersion: 1.0\n")
    declared = "".join(f"{name} = theirs_{kind}.{name}\n" for name in ("mine", "whole"))
    (info / "entry_points.txt").write_text(f"[{KINDS[kind].entry_points}]\n{declared}")
    monkeypatch.syspath_prepend(tmp_path)
    found = registered(kind)
    assert found["mine"].origin == f"of package theirs_{kind}" and not found["mine"].built_in
    assert found["mine"].yaml == package / "mine.yaml" and found["whole"].yaml == package / "whole.yaml"
    assert load(found["whole"].module or "").x == "whole/__init__.py"
    (package / "mine.yaml").unlink()
    with pytest.raises(ConfigError, match=f"'mine' of package theirs_{kind} has no YAML"):
        registered(kind)
    shutil.rmtree(info)
    os.utime(tmp_path, (1, 1))  # clocks of file systems are coarse: the folder has another time for sure
    assert not {"mine", "whole"} & registered(kind).keys(), "a package that has been removed is gone"


HELD = {  # kind -> code that lacks something, what is lacking; code that has all
    "method": [
        ("class Mine(Method):\n    lr: float\n", "run in its class Mine", "    def run(self, problem): ...\n"),
        ("import torch\n", "a class that derives from Method and has run", "class Mine(base.Method):\n    run = f\n"),
    ],
    "arch": [("def parts(): ...\n", "build", "def build(classes, image_size): ...\n")],
    "dataset": [
        ("def find(config): ...\n", "read", "from there import read\n"),
        ("x = 1\n", "find and read", "find = read = None\n"),
        ("import find, read\n", "find and read", "from somewhere import *\n"),
    ],
    "forget": [
        (
            "class Mine(ForgetSet):\n    share: float\n",
            "choose or split in its class Mine",
            "    def choose(self, c): ...\n",
        ),
        ("class Mine(forget.ForgetSet):\n    share = 1\n", "choose or split", "    def split(self, *a): ...\n"),
    ],
    "attack": [("def score(logits, labels): ...\n", "membership", "def membership(logits, labels): ...\n")],
    "measure": [
        ("def measured(outputs): ...\n", "measure", "def measure(outputs): ...\n"),
        ("class measures: ...\n", "measure", "try:\n    from there import measure\nexcept ImportError:\n    raise\n"),
    ],
}


def test_each_kind_says_what_its_code_holds() -> None:
    assert set(HELD) == set(KINDS)
    assert all(bool(kind.functions) != bool(kind.base and kind.methods) for kind in KINDS.values())


@pytest.mark.parametrize(
    ("kind", "code", "lacking", "more"), [(kind, *one) for kind, all_ in HELD.items() for one in all_]
)
def test_code_that_lacks_what_its_kind_needs_is_refused_before_it_is_imported(
    kind: str, code: str, lacking: str, more: str, tmp_path: Path
) -> None:
    """Before anything runs: in the middle of a sweep all that ran would be for nothing."""
    folders = put(tmp_path, kind, "mine", f"raise SystemExit('imported')\n{code}")
    with pytest.raises(ConfigError, match=f"'mine' lacks .*{lacking}") as error:
        read_yaml(get(kind, "mine", folders))
    assert "mine.py" in str(error.value.given) and "docs/adding.md" in str(error.value.remedy)
    put(tmp_path, kind, "mine", f"raise SystemExit('imported')\n{code}{more}")
    assert read_yaml(get(kind, "mine", folders))["name"] == "mine"


def test_what_is_inherited_counts(tmp_path: Path) -> None:
    folders = put(tmp_path, "forget", "mine", "from .other import Base\nclass Mine(Base, ForgetSet):\n    x: int\n")
    assert read_yaml(get("forget", "mine", folders)) == {"name": "mine"}
