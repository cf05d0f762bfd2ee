"""Claims: one holder at a time, dead holders replaced by exactly one taker."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepunlearn.core import claims as claims_module
from deepunlearn.core.claims import Claims, Owner, alive, read_owner, this_process

DEAD = this_process()._replace(pid=4194000)


def held_by(root: Path, name: str, owner: Owner, number: int = 0) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / f"{number:04d}").write_text(str(owner))


def test_a_claim_is_taken_once_and_again_after_it_was_given_back(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.take("a") and not claims.take("a") and claims.take("b")
    assert claims.held() == {"a": this_process(), "b": this_process()}
    claims.release("a")
    assert claims.holder("a") is None and claims.take("a")


def test_a_dead_holder_is_replaced(tmp_path: Path) -> None:
    held_by(tmp_path, "a", DEAD)
    claims = Claims(tmp_path)
    assert claims.holder("a") is None
    assert claims.take("a") and claims.holder("a") == this_process()


def test_the_last_holder_counts_not_the_dead_ones_before(tmp_path: Path) -> None:
    held_by(tmp_path, "a", DEAD, 0)
    held_by(tmp_path, "a", this_process(), 1)
    assert not Claims(tmp_path).take("a")


def race(root: str, rounds: int, barrier: object, wins: object) -> None:
    look = claims_module.alive
    claims_module.alive = lambda owner: (look(owner), time.sleep(0.005))[0]  # all have looked before one acts
    for number in range(rounds):
        barrier.wait()  # type: ignore[attr-defined]
        if Claims(Path(root)).take(str(number)):
            wins.put(number)  # type: ignore[attr-defined]


def test_of_many_takers_of_a_dead_claim_exactly_one_gets_it(tmp_path: Path) -> None:
    rounds, takers = 60, 4
    for number in range(rounds):
        held_by(tmp_path, str(number), DEAD)
    context = multiprocessing.get_context("fork")
    barrier, wins = context.Barrier(takers), context.Queue()
    processes = [
        context.Process(target=race, args=(str(tmp_path), rounds, barrier, wins), daemon=True) for _ in range(takers)
    ]
    for process in processes:
        process.start()
    won = sorted(wins.get(timeout=60) for _ in range(rounds))
    for process in processes:
        process.join(timeout=60)
    assert won == list(range(rounds)) and wins.empty()


def test_a_claim_names_its_owner_from_its_first_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed right after claiming must not leave a claim that nobody may take over."""
    seen: list[str] = []
    link = os.link

    def watching(source: Path, target: Path) -> None:
        link(source, target)
        seen.append(Path(target).read_text())

    monkeypatch.setattr(os, "link", watching)
    Claims(tmp_path).take("a")
    assert seen == [str(this_process())]


def test_a_process_is_known_by_its_start_too() -> None:
    me = this_process()
    assert read_owner(str(me)) == me and alive(me)
    assert not alive(me._replace(start=str(int(me.start) + 1))), "its number was used again"
    assert not alive(DEAD)
    assert alive(me._replace(host="elsewhere")), "another machine's process cannot be asked"


def test_a_killed_process_is_dead_also_before_it_is_reaped(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from deepunlearn.core.claims import Claims;"
        "print(Claims(Path(sys.argv[1])).take('a'), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == "True"
    assert not Claims(tmp_path).take("a")
    process.kill()
    while Claims(tmp_path).holder("a") is not None:  # until the kernel has ended it; it stays a zombie
        pass
    assert Claims(tmp_path).take("a")
    process.wait()


def test_an_earlier_run_of_a_requeued_job_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    orphan = this_process()
    assert alive(orphan)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not alive(orphan), "although its process still runs here"
    assert this_process() == orphan._replace(restarts=1)


@pytest.mark.parametrize(
    ("answer", "restarts", "expected"),
    [
        ("JobId=77 JobState=RUNNING Restarts=0 Requeue=1", 0, True),
        ("JobId=77 JobState=RUNNING Restarts=1 Requeue=1", 0, False),
        ("JobId=77 JobState=NODE_FAIL Restarts=0 Requeue=1", 0, False),
        ("", 0, False),
    ],
)
def test_slurm_is_asked_about_jobs_of_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, restarts: int, expected: bool
) -> None:
    scontrol = tmp_path / "scontrol"
    lost = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
    scontrol.write_text(f"#!/bin/sh\n{f'echo {answer}' if answer else lost}\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    claims_module._job_runs.cache_clear()
    assert alive(Owner("node7", 12, "34", "77", restarts)) == expected
    claims_module._job_runs.cache_clear()
