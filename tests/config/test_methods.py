"""Other people's methods: from a folder and from an installed package, the documented example first of all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import deepunlearn
from deepunlearn.composition import load_method, make_method
from deepunlearn.config import method_configs, read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.registry import Folders
from tests.commands import SMALL, run_command, sweep

DOCS = Path(__file__).parent.parent.parent / "docs" / "adding.md"


def documented(language: str) -> str:
    """The first example of docs/adding.md in a language."""
    example = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    return example.group(1)


def write_method(folder: Path, name: str = "mine", code: str | None = None, yaml: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code or documented("python"))
    (folder / f"{name}.yaml").write_text((yaml or documented("yaml")).replace("name: mine", f"name: {name}"))
    return folder


def install(site: Path, name: str = "mine") -> None:
    """What an installer leaves: a package, and its metadata with the entry point."""
    package = write_method(site / "theirpackage", name)
    (package / "__init__.py").touch()
    metadata = site / "theirpackage-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirpackage\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[deepunlearn.methods]\n{name} = theirpackage.{name}\n")


@pytest.mark.slow
def test_the_documented_method_runs_in_a_sweep_and_is_searched(tmp_path: Path) -> None:
    write_method(tmp_path / "my_methods")
    arguments = [*SMALL, "method=ft,mine", "search.trials=2", "seeds=1", "extra_methods=my_methods"]
    done = sweep(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "smallnet mine: search" in done.stdout
    again = sweep(tmp_path, *arguments)
    assert "nothing to do" in again.stdout
    assert run_command("tables", tmp_path).returncode == 0
    assert "Mine" in "".join(file.read_text() for file in (tmp_path / "results" / "tables").rglob("*.md"))
    code = tmp_path / "my_methods" / "mine.py"
    code.write_text(
        code.read_text().replace("problem.batches(problem.retain, 64)", "problem.batches(problem.retain, 32)")
    )
    assert sweep(tmp_path, *arguments, "search=none").returncode == 0
    code.write_text(code.read_text() + "# edited\n")
    again = sweep(tmp_path, *arguments, "search=none", "plan=true").stdout
    assert re.search(r"^evaluate +3 +0 +0 +1 ", again, re.MULTILINE), "models of the old code would be reused"
    edited = sweep(tmp_path, *arguments, "plan=true")
    assert re.search(r"^search +1 +0 +0 +1 ", edited.stdout, re.MULTILINE), "results of the old code would be reused"


@pytest.mark.slow
def test_the_catalogue_and_the_library_know_it(tmp_path: Path) -> None:
    folder = str(write_method(tmp_path / "my_methods"))
    assert "Mine (my write-up)" in run_command("methods", tmp_path, "mine", f"extra_methods={folder}").stdout
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    data = (torch.randn(20, 3, 2, 2), torch.arange(20) % 3)
    unlearned = deepunlearn.unlearn(net, retain=data, forget=data, method="mine", extra_methods=folder, epochs=1)
    assert not torch.equal(unlearned[1].weight, net[1].weight)


@pytest.mark.slow
def test_the_contract_runs_on_it_with_the_documented_command(tmp_path: Path) -> None:
    folder = write_method(tmp_path / "my_methods")
    done = run_command("methods", tmp_path, "mine", "--check", f"extra_methods={folder}")
    assert done.returncode == 0 and re.search(r"\d+ passed", done.stdout), done.stdout + done.stderr
    inert = documented("python").replace("[self.lr] * self.epochs", "[0.01] * self.epochs")
    write_method(tmp_path / "bad", "inert", code=inert)
    done = run_command("methods", tmp_path, "inert", "--check", "extra_methods=bad")
    assert done.returncode == 1 and "lr is searched and never read" in done.stdout, done.stdout
    write_method(tmp_path / "wrong", "wrong", yaml=documented("yaml").replace("role: epochs, ", ""))
    done = run_command("methods", tmp_path, "wrong", "--check", "extra_methods=wrong")
    assert done.returncode == 1 and "role: epochs" in done.stdout, done.stdout


@pytest.mark.slow
def test_an_installed_package_brings_its_method(tmp_path: Path) -> None:
    install(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    for command in (["methods", "mine"], ["sweep", *SMALL, "method=mine", "seeds=1", "search=none"]):
        done = subprocess.run(
            [sys.executable, "-m", f"deepunlearn.{command[0]}", *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results" / "store").rglob("unlearned/**/config.json"))) == 1


def test_an_entry_point_without_its_module_is_named(tmp_path: Path) -> None:
    install(tmp_path / "site")
    (tmp_path / "site" / "theirpackage" / "mine.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "deepunlearn.methods"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "theirpackage.mine" in done.stderr and "Traceback" not in done.stderr


def test_a_chain_may_hold_one(tmp_path: Path) -> None:
    folder = write_method(tmp_path / "my_methods")
    arguments = ["method=chain", "chain.steps=[ct,mine]", "chain.1.epochs=2", f"extra_methods={folder}"]
    (method,) = read_command(arguments).sweep.methods
    assert (method.name, list(method.modules)) == ("ct-mine", ["mine"])
    chain = make_method(method, method.complete({}))
    assert type(chain.steps[1]).__name__ == "ConstantFineTuning"  # type: ignore[union-attr]


def test_a_yaml_of_an_earlier_form_is_refused_with_what_to_change(tmp_path: Path) -> None:
    yaml = documented("yaml").replace("space:", "params: {lr: null, epochs: null}\nspace:")
    folder = write_method(tmp_path / "my_methods", yaml=yaml)
    with pytest.raises(ConfigError, match="twice, in params: and in space:") as caught:
        read_command(["method=mine", f"extra_methods={folder}"])
    assert "lr, epochs" in caught.value.given and "delete params:" in str(caught.value.remedy)


def test_code_that_is_edited_after_planning_is_not_run_under_the_old_name(tmp_path: Path) -> None:
    folder = write_method(tmp_path / "my_methods")
    config = method_configs(Folders(extra_methods=str(folder)))["mine"]
    make_method(config, config.complete({}))
    (folder / "mine.py").write_text(documented("python") + "\n")
    with pytest.raises(ConfigError, match="edited after the command began"):
        make_method(config, config.complete({}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code", "yaml", "named"),
    [
        ("ft", None, None, "two of the same name: method 'ft'"),
        ("My-Method", None, None, "name of a method cannot be used"),
        ("mine", None, "name: other\n", "not the YAML of method 'mine'"),
        ("mine", None, "# empty\n", "not the YAML of method 'mine'"),
        ("mine", "import nosuchmodule\n" + documented("python"), None, "No module named 'nosuchmodule'"),
        ("mine", "def broken(:\n", None, "SyntaxError"),
        ("mine", "x = 1\n", None, "lacks a class that derives from Method and has run"),
        ("mine", documented("python").replace("    lr: float\n", ""), None, "different hyper-parameters"),
    ],
)
def test_what_is_wrong_with_it_is_said_before_anything_runs(
    tmp_path: Path, name: str, code: str | None, yaml: str | None, named: str
) -> None:
    write_method(tmp_path / "my_methods", name, code, yaml)
    done = sweep(tmp_path, *SMALL, f"method={name}", "extra_methods=my_methods")
    assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "results" / "store").exists()


@pytest.mark.parametrize("missing", ["mine.py", "mine.yaml"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    write_method(tmp_path / "my_methods", "whole")
    folder = write_method(tmp_path / "my_methods")
    (folder / missing).unlink()
    with pytest.raises(ConfigError, match=missing):
        method_configs(Folders(extra_methods=str(folder)))


def test_a_folder_without_methods_is_named(tmp_path: Path) -> None:
    for folder, what in ((tmp_path, "holds none"), (tmp_path / "nosuch", "is not there")):
        with pytest.raises(ConfigError, match=what) as error:
            method_configs(Folders(extra_methods=str(folder)))
        assert error.value.remedy == "give extra_methods=DIR with the right folder"


def test_two_methods_of_one_file_name_in_two_folders_are_kept_apart(tmp_path: Path) -> None:
    other = documented("python").replace("ConstantFineTuning", "Other")
    folders = [write_method(tmp_path / "one"), write_method(tmp_path / "two", code=other)]
    configs = [method_configs(Folders(extra_methods=str(folder)))["mine"] for folder in folders]
    loaded = [load_method("mine", config.modules["mine"]) for config in configs]
    assert [one.__name__ for one in loaded] == ["ConstantFineTuning", "Other"]
