"""What a plan's estimate rests on: measured within seconds, beside other processes too, kept with its conditions."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch

from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import cores
from deepunlearn.core.schema import Features, SweepConfig
from deepunlearn.launch.load import STAT, Watch
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed import Probe, Sample, Timing, _seconds, measure, versions
from deepunlearn.launch.speed_file import Conditions, Speed, SpeedFile, Timed, remarks, speed_name
from deepunlearn.runtime import Runtime
from deepunlearn.sweep import main

NOW = datetime.datetime.now(datetime.UTC)
TORCH, CAPABILITY = versions()
QUIET = Conditions(
    date=NOW, torch=TORCH, capability=CAPABILITY, commit="abc", batch=256, threads=2, needed=2, cores=2, others=0.1,
    load=0.3, wall=1.0, processor=1.9, corrected=False,
)  # fmt: skip
CROWDED = QUIET.model_copy(update={"others": 1.5, "corrected": True, "threads": 1})


@contextmanager
def busy_processes() -> Iterator[None]:
    """One that never rests for each core."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in cores()]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A runtime sets the threads of its process: put back what was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@cache
def composed(*arguments: str) -> SweepConfig:
    """Of small networks on two threads; composing takes longer than all the rest."""
    given = ["method=ft", "arch=smallnet", "dataset=digits", "runtime.device=cpu", "runtime.threads=2"]
    return read_command([*given, *arguments]).sweep


def timing(root: Path, *arguments: str, seconds: float = 5.0) -> Timing:
    chosen = composed(*arguments).model_copy(update={"results": str(root)})
    planner = Planner(chosen, Progress(quiet=True))
    return Timing(planner, Runtime(chosen.runtime).settle(), Progress(quiet=True), seconds)


# --------------------------------------------------------------------------------------------------- beside other work


@pytest.mark.skipif(not STAT.exists(), reason="the load average is too slow to show what begins now")
def test_a_watch_tells_its_own_work_from_that_of_others() -> None:
    with busy_processes():
        watch = Watch()
        while watch.read().wall < 1:
            pass
        use = watch.read()
    assert use.others > 0.3 * len(cores()), "theirs"
    assert use.others + use.processor / use.wall < 1.1 * len(cores()), "ours is not counted as theirs"


@pytest.mark.slow
def test_busy_processes_hardly_change_a_measured_speed(tmp_path: Path) -> None:
    """Threads that wait for each other's cores made it 14 times slower on two cores, and estimates so much higher."""
    one = timing(tmp_path)
    probe = Probe(one.planner.sweep.cells[0], one.planner.network_inputs(0), one.planner.keys[0].classes, one.runtime)
    alone = measure(probe, 5)
    with busy_processes():
        beside = measure(probe, 5)
    assert beside.conditions is not None and beside.conditions.crowded and beside.conditions.corrected
    for name in ("train", "predict"):
        assert 1 / 4 < getattr(beside.speed, name) / getattr(alone.speed, name) < 4, (alone, beside)


@pytest.mark.slow
def test_a_plan_says_that_others_were_busy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["method=ft", "arch=smallnet", "runtime.device=cpu", f"runtime.threads={len(cores())}", "plan=true"]
    with busy_processes():
        assert main([*plan, f"results={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"OTHER PROCESSES kept \d+\.\d of \d+ cores busy while steps were timed", said)
    assert "the estimate is that of a free machine" in said and "runtime.threads=1" in said
    (kept,) = json.loads((tmp_path / "cache" / "speed.json").read_text()).values()
    assert {"date", "load", "wall", "processor", "threads", "torch", "capability", "commit"} <= set(kept)


def test_what_a_plan_says_of_its_speeds(tmp_path: Path) -> None:
    cell = timing(tmp_path).planner.sweep.cells[0]
    size, full = cell.dataset.image_size, cell.train.batch_size
    quiet = Timed(Speed(1, 1), QUIET.model_copy(update={"batch": full}))
    assert list(remarks([cell, cell], [quiet, Timed(Speed(1, 1))])) == [], "nothing where all is well"
    (said,) = remarks([cell], [Timed(Speed(1, 1), QUIET.model_copy(update={"batch": 8}))])
    assert f"smallnet at {size}x{size} (8 of {full})" in said
    (said,) = remarks([cell, cell], [quiet, None])
    assert "not timed" in said and f"smallnet at {size}x{size}" in said
    said = "\n".join(remarks([cell], [Timed(Speed(1, 1), CROWDED.model_copy(update={"batch": full}))]))
    assert "1.5 of 2 cores" in said and "free machine" in said and "next plan" in said
    on_gpu = CROWDED.model_copy(update={"batch": full, "corrected": False})
    assert "several times too high" in "\n".join(remarks([cell], [Timed(Speed(1, 1), on_gpu)]))


# ------------------------------------------------------------------------------------------------------ bounded in time


@pytest.mark.slow
def test_when_time_is_up_the_other_networks_are_derived(tmp_path: Path) -> None:
    one = timing(tmp_path, "arch=smallnet,resnet18,tinyvit", seconds=0)
    timed = one.of(range(3))
    assert [entry is not None for entry in timed.values()] == [True, False, False]
    assert timed[0] is not None and timed[0].conditions is not None
    assert timed[0].conditions.batch < one.planner.sweep.cells[0].train.batch_size
    small, resnet, vit = one.complete(timed)
    assert small == timed[0].speed
    assert 0 < resnet.train < small.train / 10 and 0 < vit.train < resnet.train, "more operations, fewer images"
    assert len(json.loads(one.known.path.read_text())) == 1, "what was not measured is not kept"


def test_networks_share_the_time_and_equal_ones_are_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def fake(probe: Probe, seconds: float) -> Timed:
        asked.append(seconds)
        return Timed(Speed(1, 2), QUIET)

    monkeypatch.setattr("deepunlearn.launch.speed.measure", fake)
    one = timing(tmp_path, "arch=smallnet,resnet18", "train.batch_size=64", seconds=8000)
    assert set(one.of([0, 1, 0])) == {0, 1}
    assert len(asked) == 2
    assert asked[0] == pytest.approx(4000, rel=0.02) and asked[1] == pytest.approx(8000, rel=0.02), (
        "what is left is shared"
    )
    one.of([0, 1])
    assert len(asked) == 2, "what is known is not timed again"


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(8, 1.0), (32, 4.0), (64, 9.0), (64, 7.0), (64, 8.0)], 7.0),  # the full batch: its quickest pass
        ([(8, 1.0), (16, 1.5)], 1.5 + 48 * 0.0625),  # the line through two batches: a step has a fixed part
        ([(8, 1.0)], 8.0),  # one batch: in proportion
        ([(8, 1.0), (16, 4.0)], 4.0 * 4),  # noise: never worse than in proportion
        ([(8, 4.0), (16, 3.0)], 3.0 + 48 * 3 / 16 / 4),  # nor does it ever get cheaper
    ],
)
def test_a_step_of_the_recipe_from_smaller_ones(samples: list[tuple[int, float]], expected: float) -> None:
    timed = [Sample(batch, seconds, 2 * seconds) for batch, seconds in samples]
    assert _seconds(timed, 64, 0) == pytest.approx(expected)
    assert _seconds(timed, 64, 1) == pytest.approx(2 * expected), "of one thread's processor time"
    assert expected < _seconds(timed, 64, 2) < 2 * expected, "two threads share it, not perfectly"


# --------------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        (QUIET, True),
        (QUIET.model_copy(update={"date": NOW - datetime.timedelta(days=6)}), True),
        (QUIET.model_copy(update={"date": NOW - datetime.timedelta(days=8)}), False),
        (QUIET.model_copy(update={"torch": "1.0"}), False),
        (QUIET.model_copy(update={"capability": "none"}), False),
        (CROWDED, False),
        (CROWDED.model_copy(update={"needed": 1, "cores": 8}), True),
    ],
)
def test_a_speed_is_measured_again_when_it_is_old_or_was_taken_beside_others(
    tmp_path: Path, conditions: Conditions, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepunlearn.launch.speed.measure", lambda *_: Timed(Speed(9, 9), QUIET))
    one = timing(tmp_path)
    SpeedFile(tmp_path / "cache").put(one.name(0), Timed(Speed(1, 2), conditions))
    assert one.of([0])[0] == (Timed(Speed(1, 2), conditions) if holds else Timed(Speed(9, 9), QUIET))
    assert SpeedFile(tmp_path / "cache").get(one.name(0)) == one.of([0])[0]


def test_threads_kernels_and_precision_have_speeds_of_their_own(tmp_path: Path) -> None:
    one, cell = timing(tmp_path), composed().cells[0]
    for changed in ({"threads": 1}, {"cpu_kernels": "off"}):
        other = Timing(one.planner, Runtime(composed().runtime.model_copy(update=changed)), one.progress)
        assert one.name(0) != other.name(0)
    assert not speed_name(cell, 32, "x", "off").endswith(speed_name(cell, 32, "|").split("|")[1]), "not taken for it"
    assert speed_name(cell, 32, "x") != speed_name(cell.model_copy(update={"precision": "bf16"}), 32, "x")
    assert speed_name(cell, 32, "x") != speed_name(cell, Features(32), "x")


def test_speeds_of_earlier_versions_are_read_and_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepunlearn.launch.speed.measure", lambda *_: Timed(Speed(9, 9), QUIET))
    one = timing(tmp_path)
    other = "resnet18 32 256 Some Processor cpu 4 fp32"
    one.known.path.parent.mkdir(parents=True)
    old = {"train": 5.0, "predict": 6.0}
    one.known.path.write_text(json.dumps({one.name(0): old, other: old}))
    assert one.known.get(other) == Timed(Speed(5, 6))
    assert one.of([0])[0] == Timed(Speed(9, 9), QUIET)
    assert json.loads(one.known.path.read_text())[other] == old, "what another machine measured stays"


DAMAGED = (
    b"",
    b'{"smallnet',
    b"[1, 2]",
    b"\xff\xfe",
    b'{"NAME": 3}',
    b'{"NAME": {"train": "fast", "predict": 1}}',
    b'{"NAME": {"train": NaN, "predict": 1}}',
    b'{"NAME": {"train": 0, "predict": 1}}',
    b'{"NAME": {"train": 1, "predict": 1, "date": "yesterday"}}',
)


def test_a_damaged_file_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepunlearn.launch.speed.measure", lambda *_: Timed(Speed(9, 9), QUIET))
    one = timing(tmp_path)
    one.known.path.parent.mkdir(parents=True)
    for content in DAMAGED:
        one.known.path.write_bytes(content.replace(b"NAME", one.name(0).encode()))
        assert one.of([0])[0] == Timed(Speed(9, 9), QUIET), content
        assert SpeedFile(tmp_path / "cache").get(one.name(0)) == Timed(Speed(9, 9), QUIET), content


def test_a_file_that_cannot_be_written_stops_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepunlearn.launch.speed.measure", lambda *_: Timed(Speed(9, 9), QUIET))
    one = timing(tmp_path)
    one.known.path.mkdir(parents=True)
    assert one.of([0])[0] == Timed(Speed(9, 9), QUIET)


WRITER = """
import json, sys
from pathlib import Path
from deepunlearn.launch.speed_file import SpeedFile, read_timed
timed = read_timed(json.loads(sys.argv[3]))
for number in range(40):
    SpeedFile(Path(sys.argv[1])).put(f"{sys.argv[2]} {number % 5}", timed)
"""


def test_two_processes_that_write_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    entry = json.dumps(Timed(Speed(1, 2), QUIET).as_json())
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, entry]) for name in "ab"]
    path = tmp_path / "speed.json"
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            json.loads(path.read_text())
    assert [writer.returncode for writer in writers] == [0, 0]
    names = json.loads(path.read_text())
    assert {name.split()[0] for name in names} == {"a", "b"}, "each has written into the other's file"
    assert not [one for one in tmp_path.iterdir() if one != path], "and left no drafts"


def test_the_cluster_is_judged_by_its_newest_speed_that_nothing_disturbed(tmp_path: Path) -> None:
    known = SpeedFile(tmp_path)
    ago = NOW - datetime.timedelta(days=3)
    known.put("net 32 A cpu 4 fp32", Timed(Speed(3, 3), QUIET))
    known.put("net 32 B cpu 4 fp32", Timed(Speed(2, 2), QUIET.model_copy(update={"date": ago})))
    known.put("net 32 C cpu 4 fp32", Timed(Speed(1, 1), CROWDED))
    known.put("net 32 D cpu 4 fp32", Timed(Speed(4, 4)))
    found = known.like("net 32 ", " fp32", gpu=False)
    assert found is not None and found.speed == Speed(3, 3)
