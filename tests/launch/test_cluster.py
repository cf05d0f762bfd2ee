"""The same sweeps on a real SLURM of one node with fake GPUs, faults included."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from tests.commands import run_command, sweep, until
from tests.launch.sweeps import WORK, own_method, owners, rows

pytestmark = pytest.mark.cluster
CLUSTER = Path(__file__).parents[2] / "scripts" / "slurm_cluster.sh"
STATE = Path(os.environ.get("DU_SLURM_DIR", "/var/tmp/deepunlearn-slurm"))
NODES = ("launcher=slurm", "launcher.gpus=1", "launcher.cpus=1", "launcher.memory_gb=2", "launcher.minutes=30")
EACH_ALONE = "launcher.minutes_per_job=0.0001"  # one task per job


def bring_up(**settings: str) -> None:
    environment = {**os.environ, **settings}
    up = subprocess.run([CLUSTER, "up"], capture_output=True, text=True, check=False, env=environment)
    assert up.returncode == 0, up.stdout + up.stderr


def take_down() -> None:
    subprocess.run([CLUSTER, "down"], check=True)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    if os.geteuid() != 0 and "DEEPUNLEARN_CI" not in os.environ:
        pytest.skip("the test cluster's daemons run as root")
    ran = (STATE / "slurmctld.pid").exists()
    bring_up()
    yield
    if not ran:
        take_down()


@pytest.fixture(autouse=True)
def empty_queue() -> Iterator[None]:
    """No job of a test outlives it."""
    yield
    slurm("scancel", "--full", "--user=root")
    until(lambda: not slurm("squeue", "--noheader"))


def slurm(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or command[0] == "scancel", done.stderr
    return done.stdout.strip()


def submit(folder: Path, *arguments: str) -> list[str]:
    """The ids of the arrays that the command submitted."""
    done = sweep(folder, *NODES, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"submitted job (\d+)", done.stdout)


def jobs(stage: str, state: str = "RUNNING") -> list[str]:
    """Queue's ids of single jobs of a stage."""
    lines = slurm("squeue", "--noheader", "--array", f"--states={state}", "--format", "%F_%K %j").splitlines()
    return [line.split()[0] for line in lines if line.endswith(f"deepunlearn-{stage}")]


def process_at_work(folder: Path) -> int:
    """A process of a job that holds a claim below `folder`, once there is one."""
    return until(lambda: owners(folder))[0].pid


def restarts(array: str) -> dict[str, str]:
    """How often each job of an array has begun anew, of those that SLURM still knows."""
    said = slurm("scontrol", "show", "job", "--oneliner", array)
    return dict(re.findall(r"ArrayTaskId=(\d+) .*?Restarts=(\d+)", said))


def drained(seconds: float = 400.0) -> None:
    until(lambda: not slurm("squeue", "--noheader"), seconds)


def tracked(folder: Path) -> set[Path]:
    """Folders of TensorBoard's runs."""
    return {path.parent for path in (folder / "results" / "trackers" / "tensorboard").rglob("events.out.*")}


def logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in (folder / "results" / "work").rglob("*.err"))


def test_three_stages_of_arrays_find_what_one_process_finds(tmp_path: Path, alone: Path) -> None:
    planned = sweep(tmp_path, *WORK, *NODES, EACH_ALONE, "launcher.constraint=null", "plan=true")
    assert re.search(r"reference +4 +4 ", planned.stdout) and "afterany:JOBS_BEFORE" in planned.stdout
    assert not (tmp_path / "results" / "runs").exists(), "a plan submits and writes nothing"
    arrays = submit(tmp_path, *WORK, EACH_ALONE, "launcher.tables=true", "tracker=tensorboard")
    assert len(arrays) == 4
    status = run_command("status", tmp_path).stdout
    assert all(f"job {array} " in status for array in arrays), status
    again = sweep(tmp_path, *WORK, *NODES, EACH_ALONE)
    assert "tasks are in jobs that are queued already" in again.stdout and "submitted job" not in again.stdout
    drained()
    assert rows(tmp_path) == rows(alone) and len(rows(alone)) == 8
    assert (tmp_path / "results" / "tables" / "coverage.md").exists(), "the last job makes the tables"
    assert len(tracked(tmp_path)) == 8 + 2, "a run of each evaluation and search, written by jobs beside each other"
    (meta, *_) = (tmp_path / "results" / "store").rglob("reference/*/*/meta.json")
    assert json.loads(meta.read_text())["job"]
    done = sweep(tmp_path, *WORK, *NODES)
    assert "nothing to do" in done.stdout


def test_slurm_shares_no_node_with_what_is_timed_on_its_cpus(tmp_path: Path) -> None:
    arrays = submit(tmp_path, *WORK, "launcher.gpus=0")
    shared = [re.findall(r"OverSubscribe=(\w+)", slurm("scontrol", "show", "job", array))[0] for array in arrays]
    assert shared == ["OK", "OK", "NO"], "originals and searches share nodes, evaluations do not"


def test_a_task_that_fails_stops_only_what_needs_it(tmp_path: Path) -> None:
    own_method(tmp_path / "own", "broken", "raise RuntimeError('broken on purpose')")
    work = [*WORK, "method=ft,broken", "extra_methods=own", "seeds=1"]
    done = sweep(tmp_path, *work, *NODES, EACH_ALONE, "wait=true")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: digits/smallnet search broken seed 0: broken on purpose" in done.stdout
    assert "skipped: digits/smallnet evaluate broken seed 0: needs digits/smallnet select broken" in done.stdout
    assert any("/ft/" in row for row in rows(tmp_path))
    assert "RuntimeError: broken on purpose" in run_command("status", tmp_path).stdout


def test_a_cancelled_job_is_made_good_by_the_same_command(tmp_path: Path, alone: Path) -> None:
    submit(tmp_path, *WORK, EACH_ALONE)
    until(lambda: jobs("search"))
    slurm("scancel", jobs("evaluate", "PENDING")[0])
    drained()
    assert len(rows(tmp_path)) == len(rows(alone)) - 1
    assert re.search(r"smallnet evaluate +7 +0 +0 +0 +1 ", run_command("status", tmp_path).stdout)
    submit(tmp_path, *WORK, EACH_ALONE)
    drained()
    assert rows(tmp_path) == rows(alone)


def test_time_runs_out_and_the_job_goes_on_where_it_was(tmp_path: Path) -> None:
    """SLURM may signal up to a minute early: with 2 minutes it comes when training has begun everywhere."""
    long = [*WORK, "method=ft", "seeds=1", "search=none", "train.epochs=4000", "runtime.checkpoint_seconds=3600"]
    (first, *_) = submit(tmp_path, *long, "launcher.minutes=2", "launcher.signal_seconds=30")
    until(lambda: list((tmp_path / "results" / "work").glob("*.safetensors")), seconds=300)  # none was due before
    until(lambda: re.search("Restarts=[1-9]", slurm("scontrol", "show", "job", first)))
    assert "what was done is kept, and the job is requeued" in logs(tmp_path)
    slurm("scontrol", "update", f"jobid={first}", "timelimit=20", "starttime=now")  # else it is requeued again
    drained(seconds=1200)
    assert len(rows(tmp_path)) == 3


def test_a_task_that_is_longer_than_its_job_is_requeued_and_no_other_of_its_array(tmp_path: Path) -> None:
    """One job of an array has the array's id, by which SLURM would begin all of its jobs anew."""
    mark = f"Path({str(tmp_path)!r}, 'slept-' + os.environ['SLURM_ARRAY_TASK_ID'])"
    own_method(tmp_path / "own", "slow", f"mark = {mark}; mark.exists() or (mark.touch(), time.sleep(600))")
    work = [*WORK, "method=slow", "extra_methods=own", "seeds=2", "search=none"]
    array = submit(tmp_path, *work, EACH_ALONE, "launcher.minutes=2", "launcher.signal_seconds=30")[-1]
    until(lambda: sorted(restarts(array).values())[-2:] == ["1", "1"], 400)
    slept = {path.name.removeprefix("slept-") for path in tmp_path.glob("slept-*")}
    assert {task for task, times in restarts(array).items() if times != "0"} == slept and len(slept) == 2
    drained()
    assert len([row for row in rows(tmp_path) if "/slow/" in row]) == 2


def test_a_killed_worker_is_made_good_by_the_same_command(tmp_path: Path, alone: Path) -> None:
    submit(tmp_path, *WORK)
    os.kill(process_at_work(tmp_path), signal.SIGKILL)
    drained()
    submit(tmp_path, *WORK)
    drained()
    assert rows(tmp_path) == rows(alone)


def test_a_killed_slurmd_disturbs_no_job(tmp_path: Path, alone: Path) -> None:
    submit(tmp_path, *WORK)
    process_at_work(tmp_path)
    os.kill(int((STATE / "slurmd.pid").read_text()), signal.SIGKILL)
    time.sleep(1)
    bring_up()
    drained()
    assert rows(tmp_path) == rows(alone)


def test_a_lost_node_leaves_an_orphan_and_one_intact_result(tmp_path: Path) -> None:
    """slurmd dies, the node is set down, SLURM requeues; the first process goes on all the while."""
    work = [*WORK, "method=ft", "seeds=1", "search=none", "train.epochs=200"]
    (first, *_) = submit(tmp_path, *work)
    until(lambda: list((tmp_path / "results" / "work").glob("*.safetensors")))
    orphan = process_at_work(tmp_path)
    os.kill(int((STATE / "slurmd.pid").read_text()), signal.SIGKILL)
    node = slurm("sinfo", "--noheader", "--format", "%n")
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    until(lambda: "Restarts=1" in slurm("scontrol", "show", "job", first))
    assert Path(f"/proc/{orphan}").exists()
    bring_up()
    slurm("scontrol", "update", f"jobid={first}", "starttime=now+30")  # SLURM would wait for 120 s
    drained()
    until(lambda: not Path(f"/proc/{orphan}").exists())
    whole = tmp_path / "whole"
    whole.mkdir()
    assert sweep(whole, *work).returncode == 0
    assert rows(tmp_path / "results") == rows(whole / "results")
    assert "to do" not in [
        line.split()[-3] for line in run_command("status", tmp_path).stdout.splitlines() if "reference" in line
    ]


def test_a_sweep_that_is_submitted_twice_at_once_is_done_once(tmp_path: Path, alone: Path) -> None:
    for _ in range(2):  # as if neither had seen the other's jobs
        submit(tmp_path, *WORK)
        for note in until(lambda: list((tmp_path / "results" / "runs").glob("*/jobs/*.json"))):
            note.unlink()
    drained()
    assert rows(tmp_path) == rows(alone)
    assert len(list((tmp_path / "results" / "store").rglob("row.json"))) == 8


def test_three_jobs_on_one_study_one_killed_finish_exactly_its_trials(tmp_path: Path) -> None:
    work = [*WORK, "method=ft", "seeds=1", "search.trials=30", "launcher.workers_per_study=3"]
    submit(tmp_path, *work, "launcher.gpus=0")
    until(lambda: len(jobs("search")) == 3)
    os.kill(process_at_work(tmp_path / "results" / "search"), signal.SIGKILL)
    drained()
    (table,) = (tmp_path / "results" / "store").rglob("trials.csv")
    slots = pd.read_csv(table)["slot"].tolist()
    assert len(slots) == len(set(slots)) == 30
    assert list((tmp_path / "results" / "search" / "journals").glob("*.journal"))


def test_a_method_and_dataset_grid_is_submitted_with_hydras_multirun(tmp_path: Path) -> None:
    arrays = submit(tmp_path, "-m", *WORK, "method=ft,ct", "seeds=1", "search=none")
    assert arrays
    drained()
    assert {Path(row).parts[-3] for row in rows(tmp_path)} == {"original", "retrained", "ft", "ct"}


# ---------------------------------------------------------------------------------------------- what a site may refuse


@contextmanager
def limit(kind: str, name: str, option: str, jobs: int) -> Iterator[None]:
    """A limit of the site for the block: room for so many jobs, e.g. qos, normal, MaxSubmitJobsPerUser, 6."""
    slurm("sacctmgr", "-i", "modify", kind, name, "set", f"{option}={jobs + submitted()}")
    yield
    slurm("sacctmgr", "-i", "modify", kind, name, "set", f"{option}=-1")


def submitted() -> int:
    """How many jobs the controller counts: one that is cancelled while it is requeued may stay counted for good."""
    shown = slurm("scontrol", "show", "assoc_mgr", "users=root", "flags=assoc")
    count = re.search(r"UserName=root\b.*?GrpSubmitJobs=\w+\((\d+)\)", shown, re.DOTALL)
    assert count, shown
    return int(count[1])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (("qos", "normal", "MaxSubmitJobsPerUser"), "QOSMaxSubmitJobPerUserLimit"),
        (("user", "root", "MaxSubmitJobs"), "AssocMaxSubmitJobLimit"),
    ],
)
def test_over_the_limit_of_jobs_a_part_is_queued_and_the_same_command_submits_the_rest(
    tmp_path: Path, alone: Path, what: tuple[str, str, str], words: str
) -> None:
    work = [*WORK, *NODES, EACH_ALONE, "seeds=1"]
    with limit(*what, jobs=4):  # 2 for the original and the retrained model and 2 searches, but not the evaluations
        done = sweep(tmp_path, *work)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    queued = re.findall(r"submitted job (\d+): (.*)", done.stdout)
    assert [title for _, title in queued] == ["2 reference jobs", "2 search jobs"]
    first, second = (number for number, _ in queued)
    assert f"queued by this command: 2 reference jobs (job {first}), 2 search jobs (job {second})" in done.stderr
    assert "not queued: 4 evaluate jobs" in done.stderr and words in done.stderr
    assert "launcher.max_array_size=" in done.stderr and "same command" in done.stderr
    again = sweep(tmp_path, *work)
    assert again.returncode == 0 and re.findall(r"submitted job \d+: (.*)", again.stdout) == ["4 evaluate jobs"]
    drained()
    assert rows(tmp_path) == {name: row for name, row in rows(alone).items() if "seed0" in name}


@pytest.mark.parametrize(
    ("option", "words", "remedy"),
    [
        ("launcher.account=nosuch", "Invalid account", "launcher.account="),
        ("launcher.partition=nosuch", "Invalid partition name", "launcher.partition="),
        ("launcher.qos=nosuch", "Invalid qos", "launcher.qos="),
        ("launcher.constraint=nosuch", "Invalid feature", "launcher.constraint="),
        ("launcher.wckey=nosuch", "Invalid wckey", "launcher.wckey="),
        ("launcher.gpus=99", "node configuration is not available", "launcher.gpus="),
        ("launcher.memory_gb=9999", "Memory specification", "launcher.memory_gb="),
        ("launcher.extra={reservation: nosuch}", "reservation is invalid", "launcher.extra="),
        ("launcher.extra={nosuch: 1}", "unrecognized option", "launcher.extra="),
    ],
)
def test_what_slurm_does_not_know_is_refused_with_the_option(
    tmp_path: Path, option: str, words: str, remedy: str
) -> None:
    done = sweep(tmp_path, *WORK, *NODES, option)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "submitted job" not in done.stdout
    assert words in done.stderr and remedy in done.stderr and "queued by this command: nothing" in done.stderr
    assert not list((tmp_path / "results").rglob("*.pkl"))


def test_a_controller_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens where this configuration says."""
    conf = Path("/etc/slurm/slurm.conf").read_text().replace("(127.0.0.1)", "(127.0.0.1)\nSlurmctldPort=6999")
    (tmp_path / "slurm.conf").write_text(conf + "\nMessageTimeout=2\n")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    done = sweep(tmp_path, *WORK, *NODES)
    assert done.returncode == 2 and "scontrol ping" in done.stderr and "queued by this command: nothing" in done.stderr


def test_any_option_of_sbatch_is_passed_on(tmp_path: Path) -> None:
    extra = "launcher.extra={nice: 7, comment: two words, begin: now+1hour}"
    (first, *_) = submit(tmp_path, *WORK, extra, "launcher.memory_gb=null")
    job = slurm("scontrol", "show", "job", first)
    assert "Nice=7" in job and "Comment=two words" in job and "WCKey=*" in job and "Reason=BeginTime" in job


def test_a_job_has_the_cores_that_it_asked_for(tmp_path: Path) -> None:
    """Where each step is bound to the cores that it asks for; since 22.05 srun does not ask by itself."""
    take_down()
    bring_up(DU_SLURM_BIND="1")
    try:
        own_method(tmp_path / "own", "cores", "Path('cores').write_text(str(len(os.sched_getaffinity(0))))")
        work = ("arch=smallnet", "method=cores", "extra_methods=own", "seeds=1", "search=none", "train.epochs=1")
        submit(tmp_path, *work, "dataset.limit=400", "launcher.gpus=0", "launcher.cpus=2")
        drained()
        assert (tmp_path / "cores").read_text() == "2", logs(tmp_path)
        (meta,) = (tmp_path / "results" / "store").rglob("unlearned/*/*/meta.json")
        assert json.loads(meta.read_text())["threads"] == 2
    finally:
        take_down()
        bring_up()


def test_a_sweep_is_submitted_from_inside_an_allocation(tmp_path: Path) -> None:
    """A job of one minute and little memory submits jobs that know nothing of it."""
    work = [*WORK, "method=ft", "seeds=1", "search=none", *NODES]
    command = shlex.join([sys.executable, "-m", "deepunlearn.sweep", *work])
    inside = f"export SBATCH_TIMELIMIT=1 SBATCH_PARTITION=nosuch SLURM_HINT=nomultithread; {command}"
    slurm(
        "sbatch",
        "--wait",
        "--mem=700",
        "--time=10",
        "--ntasks=1",
        f"--output={tmp_path}/out",
        f"--chdir={tmp_path}",
        f"--wrap={inside}",
    )
    said = (tmp_path / "out").read_text()
    first = re.findall(r"submitted job (\d+)", said)[0]
    assert "not passed on to sbatch: SBATCH_PARTITION, SBATCH_TIMELIMIT" in said
    job = slurm("scontrol", "show", "job", first)
    assert "TimeLimit=00:30:00" in job and "Partition=test" in job and "MinMemoryNode=2G" in job
    drained()
    assert len(rows(tmp_path)) == 3
