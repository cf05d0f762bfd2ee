"""References in values, `${oc.env:DATA}` and others: followed where they can be, named where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.config.grid import read_grid
from deepunlearn.core.errors import ConfigError
from tests.commands import refusal
from tests.launch.sweeps import own_method


def refusal_of_known(*arguments: str) -> ConfigError:
    error = refusal(*arguments)
    assert "unknown option" not in error.problem
    return error


@pytest.mark.parametrize(
    "argument",
    [
        "dataset.root=${oc.env:NOPE}/x",
        "results=${oc.env:NOPE}",
        "train.lr=${oc.env:NOPE}",
        "method.params.lr=${oc.env:NOPE}",
        "chain.0.lr=${oc.env:NOPE}",
        "extra_methods=${oc.env:NOPE}/methods",
        "launcher.setup=[a,${oc.env:NOPE}]",
        "dataset=${oc.env:NOPE}",
        "method=ft,${oc.env:NOPE}",
        "search=${oc.env:NOPE}",
    ],
)
def test_a_variable_that_is_not_set_is_named(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    chain = ["method=chain", "chain.steps=[ct,ft]"] if argument.startswith("chain") else []
    launcher = ["launcher=slurm"] if argument.startswith("launcher") else []
    wrong = refusal_of_known(*chain, *launcher, argument)
    assert "the environment variable NOPE, which is not set" in wrong.problem and "export NOPE=" in str(wrong.remedy)
    assert "${oc.env:NOPE,VALUE}" in str(wrong.allowed) and "NOPE" in str(wrong.given)


def test_a_variable_that_is_set_is_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    own_method(tmp_path / "own", "mine", "pass")
    own = ["extra_methods=${oc.env:HERE}/own", "method=mine"]
    sweep = read_command(["results=${oc.env:HERE}/r", "dataset.root=${oc.env:NOPE,d}", *own]).sweep
    assert sweep.results == f"{tmp_path}/r" and sweep.cells[0].dataset.root == "d"


def test_a_variable_may_have_the_names_of_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASETS", "digits,mnist")
    monkeypatch.setenv("NAME", "smallnet")
    words = ["dataset=${oc.env:DATASETS}", "arch=[${oc.env:NAME}]", "method=ft,${oc.env:NOPE,msg}"]
    words += ["forget=${oc.env:NOPE,classes}", "search=${oc.env:NOPE,none}"]
    plain = ["dataset=digits,mnist", "arch=smallnet", "method=ft,msg", "forget=classes", "search=none"]
    assert read_grid(words) == read_grid(plain)
    assert "unknown dataset 'smallnet'" in refusal("dataset=${oc.env:NAME}").problem
    assert "quick" in str(refusal("search=${dataset}").allowed), "a choice is a name, not another option"


@pytest.mark.parametrize(
    ("value", "problem", "remedy"),
    [
        ("${train.lrr}", "train.lrr, which is no option here", "did you mean ${train.lr}?"),
        ("${wxyz}", "wxyz, which is no option here", "name an option"),
        ("${foo:bar}", "foo:, which is no resolver", "one of these"),
        ("${results}", "itself", "write the value itself"),
        ("???", "no value", "give results="),
        ("${oc.decode:[}", "cannot be resolved", "correct the reference"),
        ("${oc.env:}", "cannot be resolved", "correct the reference"),
    ],
)
def test_other_references_that_lead_nowhere(value: str, problem: str, remedy: str) -> None:
    wrong = refusal_of_known(f"results={value}")
    assert wrong.problem.startswith("results ") and problem in wrong.problem and remedy in str(wrong.remedy)
    assert wrong.given == f"results={value}"


def test_references_of_files_are_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    for name, argument in (("s.yaml", "sweep"), ("h.yaml", "hparams")):
        (tmp_path / name).write_text("digits/resnet18/ft: {lr: '${oc.env:NOPE}'}\n")
        wrong = refusal_of_known(f"{argument}={tmp_path / name}")
        assert "NOPE, which is not set" in wrong.problem and name in str(wrong.given)
    (tmp_path / "o.yaml").write_text("overrides: ['results=${oc.env:NOPE}']\n")
    assert "NOPE, which is not set" in refusal_of_known(f"sweep={tmp_path / 'o.yaml'}").problem


def test_a_sweep_file_may_refer_to_options_and_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    own = "cells: [{dataset: '${oc.env:SET,digits}', arch: smallnet}]\nmethods: [ft]\n"
    overrides = "overrides: ['search=${oc.env:NOPE,quick}', 'results=r/${search.name}']\n"
    (tmp_path / "s.yaml").write_text(own + overrides)
    named = "sweep=${oc.env:HERE}/s.yaml"
    assert read_grid([named]).overrides == ["search=quick", "results=r/${search.name}"]
    assert read_command([named, "search=none"]).sweep.results == "r/none"
    assert "NOPE, which is not set" in refusal_of_known("sweep=${oc.env:NOPE}/s.yaml").problem


def test_what_a_reference_leads_to_is_checked_like_any_value() -> None:
    assert "train.lr" in refusal_of_known("train.lr=${results}").problem
