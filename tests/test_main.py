"""The one command, `deepunlearn NAME ...`."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deepunlearn import __main__ as command
from deepunlearn import __version__
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from tests.test_layering import modules

NO_COMMANDS = {"launch.work", ""}  # what worker processes run; the command itself
HEAVY = ("torch", "hydra", "pandas", "optuna", "matplotlib", "sklearn")


def test_there_is_a_subcommand_for_each_module_that_runs_and_no_other() -> None:
    runnable = {
        name.removesuffix("__main__").removesuffix(".").replace("_", "-")
        for name, path in modules().items()
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    assert runnable - NO_COMMANDS == set(command.SUBCOMMANDS)


def test_the_help_says_where_to_begin_and_names_each_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "deepunlearn sweep sweep=demo plan=true" in shown
    for name, one in command.SUBCOMMANDS.items():
        assert one.does in shown and f"deepunlearn {name}" in shown and one.example in shown
    assert max(map(len, shown.splitlines())) <= 105
    assert command.main([]) == 0 and capsys.readouterr().out == shown


def test_help_of_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["help", "methods"]) == command.main(["methods", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] * 2 == shown and "usage: python -m deepunlearn.methods" in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"deepunlearn {__version__}\n"


def test_a_name_that_is_in_no_encoding_is_printed_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8", errors="strict"))

    def main(arguments: Sequence[str]) -> int:
        print("not read: caf\udce9.txt")
        return 0

    assert run_main(main, []) == 0 and written.getvalue() == b"not read: caf\\udce9.txt\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(command.SUBCOMMANDS))
def test_a_subcommand_is_the_module_of_its_name(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    place = f"deepunlearn.{name.replace('-', '_')}"
    for one in (place, f"{place}.__main__"):
        monkeypatch.delitem(sys.modules, one, raising=False)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(place, run_name="__main__", alter_sys=True)
    assert capsys.readouterr().out == shown and len(shown) > 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["swep"], ["'swep'", "sweep, tables", "did you mean 'sweep'?"]),
        (["datasets"], ["'datasets'", "run deepunlearn list dataset"]),
        (["method=ft", "seeds=1"], ["deepunlearn sweep method=ft seeds=1"]),
        (["seeds=[0,1]"], ["deepunlearn sweep 'seeds=[0,1]'"]),
        (["--watch"], ["'--watch'", "first, e.g."]),
    ],
)
def test_an_unknown_subcommand_is_named_with_what_is_allowed_and_meant(given: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        command.main(given)
    assert all(one in str(caught.value) for one in named)


def test_arguments_and_the_exit_code_are_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(command.main, ["list", "arch", "resnet19"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: unknown architecture 'resnet19'") and "did you mean 'resnet18'?" in said


def test_a_module_in_the_current_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `python -m`; an installed script would look beside itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    monkeypatch.setattr(sys, "argv", ["deepunlearn", "--version"])
    assert command.script() == 0
    assert sys.path[0] == str(tmp_path)


def test_neither_the_command_nor_completion_imports_what_takes_long() -> None:
    code = (
        f"import sys, deepunlearn.__main__, deepunlearn.completion; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("arguments", [("methods", "--markdown"), ("--version",)], ids=["much", "little"])
def test_a_reader_that_has_left_is_no_error(arguments: tuple[str, ...]) -> None:
    """As with `deepunlearn methods | head -3`, which once printed a traceback."""
    read, write = os.pipe()
    os.close(read)
    call = [sys.executable, "-m", "deepunlearn", *arguments]
    said = subprocess.run(call, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (said.returncode, said.stderr) == (141, "")
