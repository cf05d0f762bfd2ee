"""Claims: one holder at a time, dead holders replaced by exactly one taker."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepunlearn.core import claims as claims_module
from deepunlearn.core.claims import Claims, Owner, alive, read_owner, this_process

DEAD = this_process()._replace(pid=4194000)


def held_by(root: Path, name: str, owner: Owner, number: int = 0) -> None:
    claim = root / name / f"{number:04d}"
    claim.mkdir(parents=True, exist_ok=True)
    (claim / "owner").write_text(str(owner))


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


def one_winner_each(folder: Path, rounds: int, takers: int) -> None:
    """Have several processes take each of `rounds` claims of dead processes, all at once."""
    for number in range(rounds):
        held_by(folder, str(number), DEAD)
    context = multiprocessing.get_context("fork")
    barrier, wins = context.Barrier(takers), context.Queue()
    processes = [
        context.Process(target=race, args=(str(folder), rounds, barrier, wins), daemon=True) for _ in range(takers)
    ]
    for process in processes:
        process.start()
    won = sorted(wins.get(timeout=600) for _ in range(rounds))
    for process in processes:
        process.join(timeout=600)
    assert won == list(range(rounds)) and wins.empty()


def test_of_many_takers_of_a_dead_claim_exactly_one_gets_it(tmp_path: Path) -> None:
    one_winner_each(tmp_path, rounds=60, takers=4)


def test_a_claim_names_its_owner_from_its_first_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed right after claiming must not leave a claim that nobody may take over."""
    seen: list[str] = []
    rename = os.rename

    def watching(source: Path, target: Path) -> None:
        rename(source, target)
        seen.append((Path(target) / "owner").read_text())

    monkeypatch.setattr(os, "rename", watching)
    Claims(tmp_path).take("a")
    assert seen == [str(this_process())]


def test_claims_need_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exFAT and many network mounts answer to both kinds of link."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "symlink", refused)
    claims = Claims(tmp_path)
    assert claims.take("a") and not claims.take("a")
    claims.release("a")
    assert claims.take("a")


def test_claims_of_earlier_versions_count(tmp_path: Path) -> None:
    """They are files; what claims them must neither end in an error nor take what is held."""
    for name, owner in (("held", this_process()), ("free", DEAD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0000").write_text(str(owner))
    claims = Claims(tmp_path)
    assert claims.held() == {"held": this_process()}
    assert not claims.take("held") and claims.take("free")


@pytest.mark.parametrize("left", ["", "node7:12", "node7:x:1::0"])
def test_a_name_that_a_power_cut_left_unfinished_is_of_a_dead_process(tmp_path: Path, left: str) -> None:
    (tmp_path / "a/0003").mkdir(parents=True)
    (tmp_path / "a/0003/owner").write_text(left)
    claims = Claims(tmp_path)
    assert claims.held() == {} and claims.take("a") and claims.holder("a") == this_process()


def test_a_holder_that_is_killed_while_it_gives_back_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by(tmp_path, "a", DEAD)
    claims = Claims(tmp_path)
    assert claims.take("a")
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: (Path(path) / "0001/owner").unlink(missing_ok=True))
    claims.release("a")
    monkeypatch.undo()
    assert claims.held() == {} and claims.take("a") and claims.held() == {"a": this_process()}


def test_an_error_of_the_file_system_is_not_taken_for_a_lost_race(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller would ask again for ever."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        Claims(tmp_path).take("a")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_process_is_known_by_its_start_too() -> None:
    me = this_process()
    assert read_owner(str(me)) == me and alive(me)
    assert not alive(me._replace(start=str(int(me.start) + 1))), "its number was used again"
    assert not alive(DEAD)
    assert alive(me._replace(host="elsewhere")), "another machine's process cannot be asked"


def test_a_killed_process_is_dead_also_before_it_is_reaped(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from deepunlearn.core.claims import Claims;"
        "print(Claims(Path(sys.argv[1])).take('a'), flush=True); time.sleep(600)"
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
        ("JobId=77 JobState=RUNNING Restarts=1\nJobId=78 JobState=COMPLETED Restarts=0", 1, True),
        ("JobId=79 JobState=RUNNING Restarts=0\nJobId=77 JobState=COMPLETED Restarts=0", 0, False),
        ("", 0, False),
    ],
)
def test_slurm_is_asked_about_jobs_of_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, restarts: int, expected: bool
) -> None:
    scontrol = tmp_path / "scontrol"
    lost = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
    told = f'echo "{answer}"'
    scontrol.write_text(f"#!/bin/sh\n{told if answer else lost}\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    claims_module._job_runs.cache_clear()
    assert alive(Owner("node7", 12, "34", "77", restarts)) == expected
    claims_module._job_runs.cache_clear()
