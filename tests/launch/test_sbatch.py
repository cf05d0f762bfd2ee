"""Submitting: what a job asks for, whose environment it gets, and what is left when SLURM refuses."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from deepunlearn import sweep
from deepunlearn.config import read_command
from deepunlearn.config.files import read_yaml
from deepunlearn.core import slurm_options
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.validation import validate
from deepunlearn.launch import sbatch, slurm
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import SWEEP, load_sweep, prepared
from tests.launch.standin import StandIn

WORK = (
    "method=ft",
    "arch=smallnet",
    "seeds=2",
    "search=quick",
    "train.epochs=2",
    "dataset.limit=400",
    "launcher=slurm",
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in on the PATH, and an environment without variables of SLURM's."""
    made = StandIn(tmp_path / "cluster")
    for name in sbatch.inherited():
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return made


def launcher_of(**given: object) -> SlurmLauncher:
    """The shipped options under `given`, refused where the command line would refuse them."""
    values = read_yaml(shipped("conf") / "launcher" / "slurm.yaml")
    launcher = validate(SlurmLauncher, {**values, **given}, "launcher")
    slurm_options.check(launcher)
    return launcher


def submit(*arguments: str) -> int:
    return sweep.main([*WORK, "launcher.minutes_per_job=0.0001", *arguments])


# -------------------------------------------------------------------------------------------------- what a job asks for


def test_sbatch_gets_what_the_site_asks_for_and_nothing_else() -> None:
    given = {"partition": "gpu", "qos": "long", "gres": "gpu:a100:1", "memory_gb": 0.5, "setup": ["module load x"]}
    chosen = sbatch.parameters(launcher_of(**given, cpus=3), "search", ["7", "9"])
    assert (chosen["partition"], chosen["qos"], chosen["mem"]) == ("gpu", "long", "512M")
    assert chosen["gres"] == "gpu:a100:1" and chosen["gpus_per_node"] is None
    assert chosen["account"] is None and chosen["wckey"] is None
    assert chosen["setup"] == ["export OMP_NUM_THREADS=3", "module load x"], "the site's lines have the last word"
    assert chosen["srun_args"] == ["--cpus-per-task=3", "--export=ALL"]
    assert chosen["additional_parameters"] == {"requeue": True, "dependency": "afterany:7:9"}
    assert "dependency" not in sbatch.parameters(launcher_of(), "reference", [])["additional_parameters"]


@pytest.mark.slow
def test_the_script_that_sbatch_reads(cluster: StandIn, tmp_path: Path) -> None:
    extra = "launcher.extra={exclude: node01, mail-type: 'END,FAIL', contiguous: true, hold: false, nice: 5, tmp: null}"
    submit("launcher.cpus=2", "launcher.memory_gb=null", extra, "launcher.extra.reservation=x", "seeds=1")
    flags = cluster.flags(1)
    assert {"wckey", "mem", "hold", "tmp"}.isdisjoint(flags), "what is null or false is not sent"
    assert (flags["exclude"], flags["mail-type"], flags["nice"], flags["reservation"]) == (
        "node01",
        "END,FAIL",
        "5",
        "x",
    )
    assert flags["contiguous"] == "" and flags["cpus-per-task"] == "2"
    (step,) = re.findall(r"^srun .*", cluster.script(1), re.MULTILINE)
    assert " --cpus-per-task=2 " in step, "from 22.05 on srun does not take it from sbatch"
    assert cluster.script(1).index("export OMP_NUM_THREADS=2") < cluster.script(1).index("srun")
    cluster.end(1)
    submit("launcher.wckey=mine", "launcher.memory_gb=1.5", "seeds=1", "results=other")
    taken = int((tmp_path / "cluster" / "taken").read_text())
    assert cluster.flags(taken)["wckey"] == "mine" and cluster.flags(taken)["mem"] == "1536M"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"partition": "gpu"}, "launcher.partition"),
        ({"time": 60}, "launcher.minutes"),
        ({"mem": "4G"}, "launcher.memory_gb"),
        ({"cpus-per-task": 4}, "launcher.cpus"),
        ({"part": "gpu"}, "launcher.partition"),  # sbatch takes the beginning of a name
        ({"chdir": "/tmp"}, "paths lead"),
        ({"parsable": "true"}, "usual answer"),
        ({"wait": "true"}, "wait=true"),
        ({"clusters": "b"}, "SLURM_CLUSTERS"),
        ({"mail_type": "END"}, "mail-type"),
        ({"--exclude": "a"}, "write exclude"),
        ({"exclude": ""}, "exclude"),
        ({"comment": "a\nb"}, "one line"),
        ({"mem-per-cpu": "4G"}, "launcher.memory_gb=null"),
    ],
)
def test_options_that_cannot_be_passed_on(given: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as refusal:
        launcher_of(extra=given)
    assert refusal.value.given and refusal.value.allowed and refusal.value.remedy
    assert next(iter(given)) in str(refusal.value)


def test_another_kind_of_memory_limit_instead_of_ours() -> None:
    launcher = launcher_of(memory_gb=None, extra={"mem-per-cpu": "4G"})
    assert sbatch.parameters(launcher, "search", [])["mem"] is None


@pytest.mark.parametrize(("minutes", "seconds"), [(2, 120), (2, 119), (1, 31), (240, 14400)])
def test_a_job_that_could_only_requeue_itself_is_refused(minutes: int, seconds: int) -> None:
    with pytest.raises(ConfigError) as refusal:
        launcher_of(minutes=minutes, signal_seconds=seconds)
    assert refusal.value.given == f"launcher.minutes={minutes} launcher.signal_seconds={seconds}"
    assert launcher_of(minutes=minutes, signal_seconds=30 * minutes).minutes == minutes


# --------------------------------------------------------------------------------------------------- whose environment

ALLOCATION = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "8",
    "SLURM_MEM_PER_CPU": "1G",
    "SLURM_CPU_BIND": "cores",
    "SRUN_CPUS_PER_TASK": "1",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_PARTITION": "debug",
    "SUBMITIT_EXECUTOR": "slurm",
    "SQUEUE_STATES": "RUNNING",
    "GPU_DEVICE_ORDINAL": "0",
    "SOME_VISIBLE_DEVICES": "0",
}


@pytest.mark.slow
def test_nothing_of_an_allocation_reaches_the_jobs(cluster: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ALLOCATION, "SLURM_CONF": "/etc/own/slurm.conf", "MY_SETTING": "1"}.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # the second time the queue is looked at
        submit("seeds=1")
    for seen in (cluster.environment("1"), cluster.environment("squeue")):
        assert not set(ALLOCATION) & set(seen)
        assert seen["SLURM_CONF"] == "/etc/own/slurm.conf", "without it no program finds the controller"
        assert seen["MY_SETTING"] == "1"
    assert {name: os.environ[name] for name in ALLOCATION} == ALLOCATION, "our own environment is as it was"


def test_a_logins_defaults_hold_where_the_launcher_leaves_them_open(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """sbatch heeds its environment before its script, so a default would win over launcher.partition."""
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_TIMELIMIT"):
        monkeypatch.setenv(name, "5")
    submit("launcher.partition=gpu", "seeds=1")
    seen = cluster.environment("1")
    assert seen["SBATCH_ACCOUNT"] == "5" and not {"SBATCH_PARTITION", "SBATCH_TIMELIMIT"} & set(seen)
    assert "not passed on to sbatch: SBATCH_PARTITION, SBATCH_TIMELIMIT" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------- what is refused

LIMIT = """sbatch: error: QOSMaxSubmitJobPerUserLimit
sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)"""


@pytest.mark.slow
def test_what_is_queued_stays_and_the_same_command_submits_the_rest(
    cluster: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.takes(1, LIMIT)
    with pytest.raises(ConfigError) as refusal:
        submit("launcher.tables=true")
    problem, remedy = refusal.value.problem, refusal.value.remedy or ""
    assert problem == (
        "SLURM refused 1 search job; queued by this command: 4 reference jobs (job 1); "
        "not queued: 1 search job, 6 evaluate jobs, 1 tables job"
    )
    assert "QOSMaxSubmitJobPerUserLimit" in refusal.value.given
    assert "launcher.max_array_size" in remedy and "same command" in remedy and refusal.value.exit_code == 2
    assert refusal.value.__cause__ is None and "submitted job 1: 4 reference jobs" in capsys.readouterr().out
    kept = {path.name for path in (tmp_path / "results" / "work" / "submitit").glob("*/*")}
    assert kept == {"0-reference", "sweep.json"}, "no files of arrays that nobody will run"

    cluster.takes(1000)
    assert submit("launcher.tables=true") == 0
    out = capsys.readouterr().out
    assert "4 tasks are in jobs that are queued already" in out
    assert re.findall(r"submitted job (\d+: .*)", out) == ["2: 1 search job", "3: 6 evaluate jobs", "4: 1 tables job"]
    assert cluster.flags(2)["dependency"] == "afterany:1", "the rest waits for what was queued before"
    assert cluster.flags(3)["dependency"] == "afterany:1:2"


def test_queued_jobs_keep_their_settings_when_another_command_of_the_sweep_comes(
    cluster: StandIn, tmp_path: Path
) -> None:
    submit("seeds=1")
    here = Planner(read_command([*WORK, "seeds=1", "launcher=local", "search.storage=sqlite"]).sweep, Progress())
    run = prepared(here, "sweep", []).absolute()
    assert [run] == list((tmp_path / "results" / "runs").iterdir())
    assert load_sweep(run / SWEEP).launcher.name == "local"
    pickles = list((tmp_path / "results" / "work" / "submitit").rglob("*_submitted.pkl"))
    for job in map(DelayedSubmission.load, pickles):
        folder, _, file = job.args
        assert Path(folder) == run
        assert load_sweep(Path(file)).launcher.name == "slurm" and load_sweep(Path(file)).search.storage == "journal"
    assert pickles


def test_a_refused_single_job_is_told_like_an_array(cluster: StandIn) -> None:
    """submitit submits one job another way than several."""
    cluster.takes(0, "sbatch: error: Batch job submission failed: Invalid account or account/partition combination")
    for seeds in ("seeds=1", "seeds=3"):
        with pytest.raises(ConfigError, match=r"queued by this command: nothing.*") as refusal:
            sweep.main([*WORK, seeds, "launcher.minutes_per_job=1000"])
        assert "launcher.account=" in (refusal.value.remedy or "")


def test_an_answer_that_says_no_job_is_a_refusal(cluster: StandIn) -> None:
    (cluster.bin / "sbatch").write_text("#!/bin/sh\necho welcome to our cluster\n")
    with pytest.raises(ConfigError, match="welcome to our cluster"):
        submit("seeds=1")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("AssocMaxSubmitJobLimit", "launcher.minutes_per_job"),
        ("QOSMaxWallDurationPerJobLimit ... accounting/QOS policy (job submit limit, ...)", "launcher.minutes="),
        ("QOSMaxGRESPerUser ... accounting/QOS policy (job submit limit, ...)", "launcher.gpus"),
        ("Slurm temporarily unable to accept job, sleeping and retrying", "wait until some have ended"),
        ("Invalid account or account/partition combination specified", "launcher.account"),
        ("invalid partition specified: nosuch", "launcher.partition"),
        ("Invalid qos specification", "launcher.qos"),
        ("Invalid wckey specification", "launcher.wckey"),
        ("Invalid feature specification", "launcher.constraint"),
        ("Invalid job array specification", "launcher.max_array_size"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "launcher.minutes="),
        ("Memory specification can not be satisfied", "launcher.memory_gb"),
        ("Requested node configuration is not available", "launcher.gpus"),
        ("Invalid generic resource (gres) specification", "launcher.gres"),
        ("Requested reservation is invalid", "launcher.extra"),
        ("unrecognized option '--nosuch=3'", "launcher.extra"),
        ("Unable to contact slurm controller (connect failure)", "scontrol ping"),
        ("Socket timed out on send/recv operation", "scontrol ping"),
        ("something of the site's own", "conf/launcher/slurm.yaml"),
    ],
)
def test_each_refusal_names_the_option(words: str, option: str) -> None:
    assert option in sbatch.remedy(words) and sbatch.remedy(words).endswith("submits what is not queued yet")


def test_waiting_outlives_a_controller_that_does_not_answer(
    cluster: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit("seeds=1")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    cluster.write("silent", "")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            (tmp_path / "cluster" / "silent").unlink()
            for job in range(1, 4):
                cluster.end(job)

    monkeypatch.setattr(slurm.time, "sleep", pause)
    slurm.wait(folder, Progress())
    assert len(pauses) == 2 and capsys.readouterr().err.count("SLURM does not answer (no controller)") == 1


def test_waiting_for_what_is_queued_already(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit("seeds=1")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        for job in range(1, 4):
            cluster.end(job)

    monkeypatch.setattr(slurm.time, "sleep", pause)
    assert submit("seeds=1", "wait=true") == 1 and len(pauses) == 1
    said = capsys.readouterr().out
    assert "nothing to submit" in said and ": 7 to do\n" in said, "and how it ended"


def test_queues_of_several_clusters_have_titles(cluster: StandIn, tmp_path: Path) -> None:
    submit("seeds=1")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    queued = slurm.queued(folder)
    listing = (cluster.bin / "squeue").read_text()
    (cluster.bin / "squeue").write_text(listing.replace("#!/bin/bash", "#!/bin/bash\necho CLUSTER: here\n"))
    assert slurm.queued(folder) == queued and queued


def test_programs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without squeue nobody would know what is queued, and everything would be submitted again."""
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None if name == "squeue" else f"/usr/bin/{name}")
    with pytest.raises(ConfigError, match="no squeue"):
        slurm.check_cluster()
