"""The command on a real model: what it leaves, what it refuses, how it ends, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepunlearn.archs.small import build
from deepunlearn.cli import run_main
from deepunlearn.deletion.command import CHECKS_FAILED, main
from deepunlearn.deletion.hashes import file_sha256, weights_sha256
from deepunlearn.deletion.report import Report
from deepunlearn.training import load_weights
from tests.commands import SERVER, run_command, tree
from tests.deletion.made import asked, write_digits, write_list, write_request
from tests.forked import run_module

QUICK = ("method=ft", "method.params.epochs=1", "checks.accuracy_drop=0.05")


class Request(NamedTuple):
    folder: Path
    ids: list[str]


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A model, its data and a list; the first listed image lies in the training part twice."""
    folder = tmp_path_factory.mktemp("request")
    ids = write_request(folder)
    first = folder / "data" / ids[0]
    shutil.copy(first, first.with_name("copy.png"))
    return Request(folder, ids)


@pytest.fixture(scope="module")
def done(request_: Request) -> Path:
    """What a deletion leaves that passed its checks."""
    before = tree(request_.folder)
    assert run_main(main, asked(request_.folder, *QUICK)) == 0
    out = request_.folder / "out"
    after = {name: digest for name, digest in tree(request_.folder).items() if not name.startswith("out/")}
    assert after == before, "what was given stays as it was, and nothing else is left"
    return out


def report_in(out: Path) -> Report:
    return Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_deletion_leaves_weights_and_reports(done: Path, request_: Request) -> None:
    assert sorted(file.name for file in done.iterdir()) == ["model.safetensors", "report.html", "report.json"]
    report, model = report_in(done), build(10, 8)
    load_weights(request_.folder / "model.safetensors", model)
    assert report.model.weights_before == weights_sha256(model)
    load_weights(done / "model.safetensors", model)
    assert report.model.weights_after == weights_sha256(model) != report.model.weights_before
    assert report.model.file_after == file_sha256(done / "model.safetensors")
    assert report.passed and report.request.samples == 12 and report.data.deleted == 12
    assert report.data.retained == report.data.training - 12 and report.data.held_out == 300
    assert report.method.values["epochs"] == 1 and report.request.values == {"epochs": 1}
    assert report.data.prepared is not None and report.data.prepared.startswith("normalised by mean 0.")
    assert report.program["torch"] == torch.__version__ and report.program["commit"]
    assert next(one for one in report.checks if one.name == "relearning").figures[0].after is not None


@pytest.mark.slow
def test_a_report_names_no_sample(done: Path, request_: Request) -> None:
    for file in ("report.json", "report.html"):
        text = (done / file).read_text(encoding="utf-8")
        for name in request_.ids:
            assert name not in text and Path(name).stem not in text.split(), f"{file} names {name}"
        assert str(request_.folder) not in text


@pytest.mark.slow
def test_a_copy_that_is_retained_is_told(done: Path) -> None:
    (remark,) = report_in(done).data.remarks
    assert remark == "1 of the deleted samples is among the retained samples too, equal in every pixel"


@pytest.mark.slow
def test_the_order_of_a_list_changes_nothing(done: Path, request_: Request, tmp_path: Path) -> None:
    write_list(tmp_path / "shuffled.csv", [f"./{name}" for name in reversed(request_.ids)])
    files = f"ids={tmp_path / 'shuffled.csv'}", f"out={tmp_path / 'again'}"
    again = (*QUICK, *files, "relearn=false")
    assert run_main(main, asked(request_.folder, *again)) == 0
    one, other = report_in(done), report_in(tmp_path / "again")
    assert other.request.ids_sha256 == one.request.ids_sha256
    assert other.model.weights_after == one.model.weights_after
    assert run_main(main, asked(request_.folder, *again, "seed=1", f"out={tmp_path / 'other'}")) == 0
    assert report_in(tmp_path / "other").model.weights_after != one.model.weights_after


@pytest.mark.slow
def test_where_a_check_fails_there_are_reports_and_no_weights(request_: Request, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ruined = ("method=ga", "method.params.lr=0.1", "method.params.epochs=5", "relearn=false")
    assert run_main(main, asked(request_.folder, *ruined, f"out={out}")) == CHECKS_FAILED
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "report.json"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    report = report_in(out)
    assert not report.passed and report.model.weights_after is None
    assert any(check.outcome == "failed" for check in report.checks)


@pytest.mark.slow
def test_a_plan_writes_nothing_and_tells_what_it_takes(
    request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, before = tmp_path / "out", tree(request_.folder)
    assert run_main(main, asked(request_.folder, "method=scrub", "plan=true", f"out={out}")) == 0
    told = capsys.readouterr().out
    assert "12 of 501 training samples" in told and "estimate  unlearning" in told
    assert "240 held-out samples; 60 more are validation data" in told
    assert not list(tmp_path.iterdir()) and tree(request_.folder) == before


@pytest.mark.slow
def test_the_method_is_picked_from_stored_results(request_: Request, tmp_path: Path) -> None:
    results = Path(__file__).parents[2] / "results" / "examples" / "mnist-resnet18-all"
    auto = ("method=auto", f"results={results}", "relearn=false", f"out={tmp_path / 'out'}", "checks.accuracy_drop=0.9")
    assert run_main(main, asked(request_.folder, *auto)) in (0, CHECKS_FAILED)
    report = report_in(tmp_path / "out")
    assert report.request.method == "auto" and report.method.choice is not None
    assert report.method.choice.method == report.method.name
    assert report.method.choice.values == report.method.values


@pytest.mark.slow
def test_one_sample_is_a_request_too(request_: Request, tmp_path: Path) -> None:
    """Below what an attack needs, and what a network with batch normalisation can be trained on."""
    write_list(tmp_path / "one.csv", ["0"], column="id")
    one = asked(request_.folder, *QUICK, f"ids={tmp_path / 'one.csv'}", f"out={tmp_path / 'out'}")
    assert run_main(main, one) == 0
    found = {check.name: check for check in report_in(tmp_path / "out").checks}
    assert found["attack"].outcome == "not judged" and "n/a" in found["attack"].found
    assert "single sample" in found["relearning"].found


# -------------------------------------------------------------------------------------------------------- what is wrong


def spoiled(request_: Request, folder: Path, what: str) -> list[str]:
    """Arguments of a request of which something is wrong."""
    ids, net = folder / "ids.csv", folder / "net.safetensors"
    lists = {
        "unknown ids": ["train/0/none.png"],
        "ids of the test part": [next(iter(sorted((request_.folder / "data" / "test" / "3").iterdir()))).name],
        "ids twice": [request_.ids[0], f"./{request_.ids[0]}"],
        "all samples": sorted(
            file.relative_to(request_.folder / "data").as_posix()
            for file in (request_.folder / "data" / "train").rglob("*.png")
        ),
    }
    if what in lists:
        write_list(ids, lists[what])
        return [f"ids={ids}"]
    state = load_file(request_.folder / "model.safetensors")
    if what == "pickled model":
        torch.save(build(10, 8), folder / "net.pt")
        return [f"model={folder / 'net.pt'}"]
    if what in ("NaN weights", "weights of another network", "weights of another head", "labels of others"):
        weight, bias = state["head.weight"], state["head.bias"]
        broken = {
            "NaN weights": {"head.weight": torch.full_like(weight, float("nan"))},
            "weights of another network": {"more": torch.zeros(1)},
            "weights of another head": {"head.weight": weight[1:].clone(), "head.bias": bias[1:].clone()},
            "labels of others": {"head.weight": weight.roll(1, 0), "head.bias": bias.roll(1)},
        }
        save_file({**state, **broken[what]}, net)
        return [f"model={net}"]
    if what == "truncated weights":
        net.write_bytes((request_.folder / "model.safetensors").read_bytes()[:999])
        return [f"model={net}"]
    return [f"data={spoiled_data(folder / 'data', what)}"]


def spoiled_data(data: Path, what: str) -> Path:
    write_digits(data)
    if what == "no test part":
        shutil.rmtree(data / "test")
    if what == "classes and no parts":
        (data / "train").rename(data.with_name("classes"))
        return data.with_name("classes")
    if what == "a class without test samples":
        shutil.rmtree(data / "test" / "7")
    if what == "few test samples":
        for file in sorted((data / "test").rglob("*.png"))[::2]:
            file.unlink()
    return data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("unknown ids", "lists 1 sample that the dataset does not have"),
        ("ids of the test part", "lists 1 sample that the dataset does not have"),
        ("ids twice", "lists 1 sample twice"),
        ("all samples", "nothing is left that the model should go on to know"),
        ("pickled model", "cannot be read"),
        ("truncated weights", "cannot be read"),
        ("NaN weights", "not finite"),
        ("weights of another network", "are not those of this network"),
        ("weights of another head", "are not those of this network"),
        ("labels of others", "does not know these data"),
        ("no test part", "has a folder train but none called test"),
        ("classes and no parts", "have no test part of their own"),
        ("a class without test samples", "have different classes"),
        ("few test samples", "too small to show"),
        ("data that are not there", "there is no folder"),
    ],
)
def test_a_wrong_input_is_refused_and_leaves_nothing(
    request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, said: str
) -> None:
    given = [f"data={tmp_path / 'none'}"] if what.startswith("data") else spoiled(request_, tmp_path, what)
    out = tmp_path / "out"
    before = tree(tmp_path)
    assert run_main(main, asked(request_.folder, "method=ft", *given, f"out={out}")) == 2
    told = capsys.readouterr().err
    assert said in told and "allowed:" in told and "remedy:" in told and "forget.file" not in told
    assert not re.search("sweep|retrained", told), "who asks for a deletion may never have heard of them"
    assert tree(tmp_path) == before and not out.exists()


@pytest.mark.slow
def test_a_method_that_diverges_leaves_nothing_and_ends_with_one(
    request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = ("method=ga", "method.params.lr=1e30", f"out={tmp_path / 'out'}")
    assert run_main(main, asked(request_.folder, *diverging)) == 1
    told = capsys.readouterr().err
    assert "not finite" in told and "method.params.lr=" in told and not re.search("train.lr|retrained|sweep", told)
    assert not list(tmp_path.iterdir())


def test_the_help_tells_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for word in ("model=FILE", "checks.accuracy_drop=0.02", "plan=true", "exit codes", "report.html"):
        assert word in told


# --------------------------------------------------------------------------------------------------------------- kills


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob(".draft-*"))


def killed(folder: Path, arguments: list[str], moment: float | None) -> None:
    """Start the command and kill it after so many seconds; None: as soon as it has begun to write results."""
    process = SERVER.Process(
        target=run_module,
        args=(["deepunlearn.forget", *arguments], folder, dict(os.environ), folder / "said", folder / "told"),
    )
    process.start()
    end = time.monotonic() + (60 if moment is None else moment)
    while time.monotonic() < end and process.is_alive():
        if moment is None and any(folder.glob(".draft-*/results/*")):
            break
        time.sleep(0.0005)
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.slow
def test_a_kill_leaves_nothing_and_the_same_command_goes_through(request_: Request, tmp_path: Path) -> None:
    command = asked(request_.folder, *QUICK, "relearn=false", f"out={tmp_path / 'out'}")
    left = 0
    for moment in (1.0, 1.5, None, None):
        killed(tmp_path, command, moment)
        left += len(drafts(tmp_path))
        if (tmp_path / "out").exists():
            assert len(list((tmp_path / "out").iterdir())) == 3 and report_in(tmp_path / "out").passed
            shutil.rmtree(tmp_path / "out")
    assert left, "no kill came while it was at work: choose other moments"
    finished = run_command("forget", tmp_path, *command)
    assert finished.returncode == 0, finished.stderr
    assert report_in(tmp_path / "out").passed and not drafts(tmp_path)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["model"]["file_after"] == file_sha256(
        tmp_path / "out" / "model.safetensors"
    )
