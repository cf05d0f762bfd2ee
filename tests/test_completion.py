"""What a shell is offered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepunlearn import completion, measure, report
from deepunlearn.__main__ import SUBCOMMANDS
from deepunlearn.analysis import inputs
from deepunlearn.completion import BOOLEAN, OPTIONS, SHELLS, WORDS, offered
from deepunlearn.config import GROUPS, sweep_files
from deepunlearn.core.errors import ConfigError
from deepunlearn.deletion import request
from deepunlearn.launch.stored import AXES
from deepunlearn.methods.__main__ import FLAGS
from deepunlearn.share import packing
from deepunlearn.share.command import ACTIONS
from tests.plugins import ARCH, put_mine


@pytest.fixture(autouse=True)
def _asked_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_COMMANDS", {name: one.does for name, one in SUBCOMMANDS.items()})


@pytest.mark.parametrize(
    ("command", "earlier", "prefix", "some", "none"),
    [
        ("sweep", [], "sea", ["search=", "search."], ["seeds=", "search.trials="]),
        ("sweep", [], "", ["method=", "seeds=", "plan=", "reference.original=", "train."], ["train.lr=", "defaults="]),
        ("sweep", [], "search=", ["search=paper", "search=none"], []),
        ("sweep", [], "method=ft,s", ["method=ft,salun", "method=ft,ssd"], ["method=ft,ft", "method=ft,ct"]),
        ("sweep", [], "search.", ["search.trials=", "search.space="], ["search.name="]),
        ("sweep", [], "search.space=", ["search.space=paper", "search.space=ours"], []),
        ("sweep", [], "runtime.compile=", ["runtime.compile=cudagraphs", "runtime.compile=null"], []),
        ("sweep", [], "keep=", ["keep=weights", "keep=logits"], []),
        ("sweep", [], "plan=", ["plan=true", "plan=false"], []),
        ("sweep", [], "launcher.", ["launcher.workers="], ["launcher.partition="]),
        ("sweep", ["launcher=slurm"], "launcher.", ["launcher.partition="], []),
        ("sweep", ["method=msg"], "method.", ["method.params.init_rate="], ["method.params.temperature="]),
        ("sweep", [], "forget.", ["forget.ratio=", "forget.rounds="], ["forget.noise="]),
        ("sweep", ["dataset=mnist"], "train.", ["train.epochs="], []),
        ("sweep", [], "measures=[aus,z", ["measures=[aus,zrf"], ["measures=[aus,aus"]),
        (
            "sweep",
            [],
            "measures=",
            ["measures=default", "measures=all", "measures=erasure", "measures=entropy_attack"],
            [],
        ),
        ("sweep", [], "measures=a", ["measures=all", "measures=aus"], ["measures=accuracy"]),
        (
            "measure",
            [],
            "measures=",
            ["measures=default", "measures=aus", "measures=entropy_attack"],
            ["measures=time"],
        ),
        ("sweep", [], "sweep=de", ["sweep=demo", "sweep=defaults"], ["sweep=paper"]),
        ("sweep", [], "train.lr=", [], ["train.lr=true"]),
        ("lira", [], "search=", ["search=quick"], []),
        ("measure", [], "", ["measures=", "launcher.", "plan="], ["seeds=", "train."]),
        ("list", [], "", ["arch", "dataset", "--check"], ["resnet18"]),
        ("list", ["arch"], "res", ["resnet18"], []),
        ("methods", [], "sal", ["salun"], []),
        ("report", [], "format=", ["format=pdf", "format=svg", "format=png"], []),
        ("share", [], "ex", ["export"], []),
        ("status", [], "--", ["--watch", "--help"], ["--check"]),
        ("check-gpu", [], "", ["--minutes", "device=", "out="], ["plan="]),
        ("completion", [], "", list(SHELLS), ["plan="]),
        ("nosuch", [], "m", [], ["method="]),
    ],
)
def test_what_is_offered(command: str, earlier: list[str], prefix: str, some: list[str], none: list[str]) -> None:
    shown = offered(command, earlier, prefix)
    assert set(some) <= set(shown) and not set(none) & set(shown)
    assert all(one.startswith(prefix) for one in shown) and len(set(shown)) == len(shown)


def test_every_group_and_sweep_is_offered() -> None:
    assert {f"{group}=" for group in GROUPS} <= set(offered("sweep", [], ""))
    assert {f"sweep={name}" for name in sweep_files()} <= set(offered("sweep", [], "sweep="))


def test_parts_of_ones_own_and_paths_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mine(tmp_path / "own", "arch", ARCH.replace("{dropout}", ""), "title: M\nblocks: 1\n")
    monkeypatch.chdir(tmp_path)
    assert offered("sweep", ["plugins=own"], "arch=mi") == ["arch=mine"]
    assert offered("sweep", ["-cd", "own"], "arch=mi") == ["arch=mine"]
    (tmp_path / "own" / "sweeps").mkdir()
    (tmp_path / "own" / "sweeps" / "mine.yaml").write_text("")
    assert offered("sweep", ["-cd", "own"], "sweep=mi") == ["sweep=mine"]
    assert offered("sweep", ["--config-dir"], "o") == offered("sweep", ["-cd"], "o") == ["own/"]
    assert offered("sweep", [], "plugins=o") == ["plugins=own/"]
    assert offered("tables", [], "results=./o") == ["results=./own/"]
    assert offered("sweep", [], "dataset.root=nowhere/") == []


def test_the_options_offered_are_those_that_the_commands_take() -> None:
    assert set(OPTIONS["tables"]) == set(inputs.OPTIONS) and OPTIONS["tables"]["compare"] == inputs.COMPARED
    assert set(OPTIONS["report"]) == set(report.OPTIONS)
    assert OPTIONS["report"]["format"] == report.FORMATS and OPTIONS["report"]["figures.width"] == report.INCHES
    assert set(OPTIONS["measure"]) == {*measure.OPTIONS, *AXES}
    assert set(OPTIONS["forget"]) == {*request.OWN, *request.COMPOSED}
    assert set(OPTIONS["share"]) == {"out", "results", "plan", *packing.AXES}
    assert set(WORDS["share"]) == {"--help", *ACTIONS} and set(WORDS["methods"]) == {"--help", *FLAGS}
    flags = {name for command, own in (("tables", inputs.OPTIONS), ("report", report.OPTIONS)) for name in own
             if isinstance(own[name], bool) and OPTIONS[command][name] != BOOLEAN}  # fmt: skip
    assert not flags
    assert set(OPTIONS) | {"sweep", "lira"} == set(SUBCOMMANDS)


def test_there_are_lines_for_each_shell_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert completion.main([shell]) == 0
        shown = capsys.readouterr().out
        assert "_ARGCOMPLETE" in shown and "deepunlearn" in shown
    with pytest.raises(ConfigError, match="fisch"):
        completion.main(["fisch"])


BASH = """
eval "$(deepunlearn completion bash)"
for COMP_LINE in "deepunlearn st" "deepunlearn sweep method=ft,sc" "deepunlearn sweep sear"; do
  COMP_POINT=${#COMP_LINE}
  _python_argcomplete deepunlearn
  echo "${COMPREPLY[@]}"
done
"""


@pytest.mark.slow
def test_bash_completes_names_and_values(tmp_path: Path) -> None:
    """bash cuts words at `=`, and completes what stands behind it."""
    script = tmp_path / "deepunlearn"
    script.write_text(f"#!{sys.executable}\nfrom deepunlearn.__main__ import script\nraise SystemExit(script())\n")
    script.chmod(0o755)
    own = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(Path(completion.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", BASH], env=own, capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == [["status"], ["ft,scrub"], ["search=", "search."]]
