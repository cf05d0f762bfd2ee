"""`--cfg job` and `--info`: what a command would compose, and where that comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deepunlearn import sweep
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert sweep.main(arguments) == 0
    return capsys.readouterr().out


def test_a_configuration_is_printed_as_hydra_has_it_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLACE", "/secret")
    words = ("--cfg", "job", "dataset=mnist", "train.lr=0.3", "method=msg", "dataset.root=${oc.env:PLACE}")
    text = shown(capsys, *words)
    values = yaml.safe_load(text)
    assert text.startswith("# mnist resnet18 random msg\n")
    assert values["train"]["lr"] == 0.3 and values["method"]["name"] == "msg" and values["seeds"] == 10
    assert set(values) >= {"dataset", "arch", "train", "forget", "search", "protocol", "launcher", "runtime", "keep"}
    assert values["dataset"]["root"] == "${oc.env:PLACE}", "a password in a variable is not for all to see"
    assert yaml.safe_load(shown(capsys, *words, "--resolve"))["dataset"]["root"] == "/secret"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_grid_is_a_document_for_each_cell_and_method_under_its_own_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = ("dataset=digits,mnist", "method=ft,msg", "method.msg.params.lr=0.5", "forget.ratio=0.2", "search=none")
    documents = list(yaml.safe_load_all(shown(capsys, "-c", "job", *grid)))
    combinations = [(one["dataset"]["name"], one["method"]["name"]) for one in documents]
    assert combinations == [("digits", "ft"), ("digits", "msg"), ("mnist", "ft"), ("mnist", "msg")]
    assert [one["method"].get("params") for one in documents] == [None, {"lr": 0.5}] * 2
    assert {one["forget"]["ratio"] for one in documents} == {0.2}


@pytest.mark.slow
def test_a_part_is_printed_under_its_name_and_one_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert yaml.safe_load(shown(capsys, "--cfg", "job", "-p", "search.trials", "search.trials=7")) == {
        "search.trials": 7
    }
    for wrong in ("trian", "train.lr.x"):
        with pytest.raises(ConfigError, match=wrong):
            sweep.main(["--cfg", "job", "-p", wrong])


def test_what_cannot_be_run_is_not_shown_either(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="train"):
        sweep.main(["--cfg", "job", "train.epochs=0"])
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_values_of_steps_are_told_beside(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--cfg", "job", "-p", "chain", "method=chain", "chain.steps=[ct,ngplus]", "chain.0.lr=0.01")
    assert "# beside it, of a step: chain.0.lr=0.01" in text
    assert yaml.safe_load(text) == {"chain": {"steps": ["ct", "ngplus"]}}


def test_information_says_where_configurations_are_from_and_what_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "search").mkdir(parents=True)
    (tmp_path / "own" / "search" / "mine.yaml").write_text("# mine\ndefaults: [quick]\nname: mine\n")
    words = ("dataset=mnist", "method=ft,ct", "search=mine", "train.lr=0.3")
    text = shown(capsys, "--info", "--config-dir", "own", *words)
    assert str(shipped("conf")) in text and "  own (--config-dir or plugins=" in text
    chosen = dict(line.strip().split(": ") for line in text.splitlines() if line.startswith("  ") and ": " in line)
    assert (chosen["dataset"], chosen["train"], chosen["method"]) == ("mnist", "mnist", "ft")
    assert chosen["search"] == "mine" and "  search: mine\n    built on search: quick\n" in text
    assert text.count("search: ") == 2, "a group has one choice"
    assert "  train.lr=0.3" in text and "and of 1 more" in text
