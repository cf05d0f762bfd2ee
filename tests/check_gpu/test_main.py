"""`deepunlearn check-gpu` from its options to its page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepunlearn.check_gpu import __main__ as command
from deepunlearn.check_gpu.__main__ import LEFT, attempt, chosen, code, main, read, run
from deepunlearn.check_gpu.part import Kept, Outcome, Part
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError


def raises(error: Exception) -> Callable[[], Outcome]:
    def act() -> Outcome:
        raise error

    return act


def ends(state: str, done: list[str] | None = None, name: str = "") -> Callable[[], Outcome]:
    def act() -> Outcome:
        if done is not None:
            done.append(name)
        return Outcome(state)  # type: ignore[arg-type]

    return act


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--minutes", "soon"], ["soon", "a number above 0", "--minutes 8"]),
        (["--minutes"], ["nothing"]),
        (["--minutes=-1"], ["-1"]),
        (["--minute=3"], ["--minute", "did you mean '--minutes'?"]),
        (["devices=cpu"], ["devices", "device="]),
        (["out=a", "out=b"], ["out"]),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(given: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(given)
    assert all(one in str(caught.value) for one in named)


def test_options_and_what_they_are_without() -> None:
    assert read([]) == (8.0, "auto", Path("check-gpu"), ())
    asked = read(["--minutes=0.5", "device=cpu", "out=there", "steps/*", "graphs/*"])
    assert asked == (0.5, "cpu", Path("there"), ("steps/*", "graphs/*"))


def test_parts_are_chosen_by_pattern() -> None:
    parts = [Part(name, ends("ok")) for name in ("steps/a", "steps/b", "trials/1")]
    assert [part.name for part in chosen(parts, ["trials/*", "*/b"])] == ["steps/b", "trials/1"]
    assert chosen(parts, []) == parts
    with pytest.raises(ConfigError, match="step/"):
        chosen(parts, ["step/*"])


@pytest.mark.parametrize(
    ("act", "state", "said"),
    [
        (ends("ok"), "ok", ""),
        (raises(ValueError("wrong shape")), "failed", "ValueError: wrong shape"),
        (raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")), "not run", "workers_per_gpu"),
        (raises(RuntimeError("CUDA error: out of memory")), "not run", "batch_size"),
        (raises(OSError(28, "No space left on device")), "not run", "make room"),
        (raises(RuntimeError("CUDA error: an illegal memory access was encountered")), "failed", "illegal memory"),
    ],
)
def test_an_error_is_a_failed_check_and_one_of_the_machine_is_not(
    act: Callable[[], Outcome], state: str, said: str
) -> None:
    outcome = attempt(Part("a/b", act))
    assert outcome.state == state and said in outcome.said and outcome.seconds >= 0


def test_what_a_device_lacks_is_listed_with_the_reason_and_not_tried() -> None:
    outcome = attempt(Part("graphs/a", raises(AssertionError("was run")), "of CUDA devices"))
    assert (outcome.state, outcome.said) == ("not on this device", "of CUDA devices")


def test_it_stops_when_time_is_up_and_the_next_call_goes_on(tmp_path: Path) -> None:
    done: list[str] = []
    parts = [Part(f"a/{name}", ends("ok", done, name)) for name in "xyz"]
    kept = Kept(tmp_path, {"device": "here"})
    for call, names in enumerate(("x", "xy", "xyz"), start=1):
        outcomes = {part.name: kept.get(part) for part in parts}
        run(parts, outcomes, kept, end=0.0)  # long ago: one part all the same
        assert done == list(names)
        assert code(outcomes) == (LEFT if call < len(parts) else 0)
    run(parts, {part.name: None for part in parts}, kept, end=1e12)
    assert done == list("xyzxyz"), "with time enough all of them in one call"


def test_a_part_that_would_take_too_long_is_left_and_a_shorter_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(command, "monotonic", lambda: now[0])

    def takes(seconds: float) -> Callable[[], Outcome]:
        def act() -> Outcome:
            now[0] += seconds
            return Outcome("ok")

        return act

    lasting = {"long/1": 50, "long/2": 50, "short/1": 5, "short/2": 5, "short/3": 40}
    parts = [Part(name, takes(seconds)) for name, seconds in lasting.items()]
    outcomes: dict[str, Outcome | None] = dict.fromkeys(lasting)
    run(parts, outcomes, Kept(tmp_path, {}), end=80)
    assert [name for name, outcome in outcomes.items() if outcome is None] == ["long/2"]
    assert [outcome.seconds for outcome in outcomes.values() if outcome] == [50, 5, 5, 40]
    run(parts, outcomes, Kept(tmp_path, {}), end=80)
    assert None not in outcomes.values(), "a call does one part, however late it is"


def test_a_device_that_does_not_answer_ends_the_call(tmp_path: Path) -> None:
    parts = [Part("a/x", raises(RuntimeError("CUDA error: device-side assert triggered"))), Part("a/y", ends("ok"))]
    outcomes: dict[str, Outcome | None] = dict.fromkeys(("a/x", "a/y"))
    run(parts, outcomes, Kept(tmp_path, {}), end=1e12, works=lambda: False)
    failed = outcomes["a/x"]
    assert failed is not None and failed.state == "failed" and outcomes["a/y"] is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [(["ok", "not on this device"], 0), (["ok", "failed"], 1), (["not run"], 1), (["failed", None], LEFT)],
)
def test_the_exit_code(states: list[str | None], expected: int) -> None:
    assert code({str(at): state and Outcome(state) for at, state in enumerate(states)}) == expected  # type: ignore[arg-type,misc]


def test_mps_and_a_gpu_that_is_not_there_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "check"
    assert run_main(main, ["device=mps", f"out={out}"]) == 2
    assert "64-bit floats" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert run_main(main, ["device=cuda", f"out={out}"]) == 2
        assert "no GPU is visible" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_check_on_the_cpu_and_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["uploads/one by one", "graphs/smallnet/ft", "agreement/smallnet/ft"]
    given = ["device=cpu", f"out={tmp_path}", "--minutes", "0.000001", *names]
    assert [main(given) for _ in names] == [LEFT, LEFT, 0]
    page = (tmp_path / "check-gpu.md").read_text()
    assert page in capsys.readouterr().out and f"`deepunlearn check-gpu {shlex.join(given)}`" in page
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    assert {row[0]: row[1] for row in table if row[0] in names} == {
        "uploads/one by one": "ok", "graphs/smallnet/ft": "not on this device", "agreement/smallnet/ft": "ok",
    }  # fmt: skip
    told = json.loads((tmp_path / "check-gpu.json").read_text())
    assert set(told["parts"]) == set(names) and told["made"]["device"] == "cpu"
    assert "device: cpu" in page and "2 ok" in page and "1 not on this device" in page
