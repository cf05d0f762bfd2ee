"""Which errors are no method's fault, made for real where that can be."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.exceptions import StorageInternalError
from safetensors.numpy import save_file
from sqlalchemy.exc import OperationalError

from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError, DataError, Diverged, MissingData, NotApplicable, StoreError
from deepunlearn.core.infrastructure import RULES, infrastructure, rule_of_note
from deepunlearn.search.selection import SearchFailed


def full_disk() -> None:
    with Path("/dev/full").open("wb") as file:
        file.write(b"0" * 100_000)


def weights_beyond_a_limit() -> None:
    """As `ulimit -f` has it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            save_file({"x": np.zeros(100_000)}, f"{folder}/x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def missing_file() -> None:
    Path("/nowhere/at/all").read_bytes()


def full_database() -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("pragma max_page_count = 2")
        database.execute("create table t (x)")
        database.executemany("insert into t values (?)", [("0" * 4000,)] * 100)


def no_memory() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def no_package() -> None:
    import no_such_package  # noqa: F401


def raised_from_a_full_disk() -> None:
    try:
        full_disk()
    except OSError as error:
        raise RuntimeError("the compiler failed") from error


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def caught(act: Callable[[], None]) -> BaseException:
    with pytest.raises(Exception) as found:
        act()
    return found.value


@pytest.mark.parametrize(
    ("act", "remedy"),
    [
        (full_disk, "make room"),
        (weights_beyond_a_limit, "make room"),
        (raised_from_a_full_disk, "make room"),
        (missing_file, "look whether the file"),
        (full_database, "storage of the search"),
        (no_memory, "launcher.workers="),
        (no_package, "install"),
        *((raises(OSError(code, os.strerror(code))), "make room") for code in (errno.EDQUOT, errno.EFBIG, errno.EIO)),
        (raises(OSError(errno.EMFILE, os.strerror(errno.EMFILE))), "ulimit -n"),
        (raises(MemoryError()), "launcher.workers="),
        (raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")), "launcher.workers_per_gpu"),
        (raises(RuntimeError("CUDA error: out of memory")), "batch_size"),
        (raises(RuntimeError("CUDA error: an illegal memory access was encountered")), "nvidia-smi"),
        (raises(RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR")), "nvidia-smi"),
        (raises(StorageInternalError("An exception is raised during the commit")), "search.storage"),
        (raises(OperationalError("insert", None, Exception("server closed the connection"))), "search.storage"),
        (raises(MissingData("there is no dataset")), ""),
        (raises(DataError("an image is damaged")), ""),
        (raises(StoreError("the stored result is damaged")), ""),
        (raises(ConfigError("search.storage cannot be opened")), ""),
    ],
)
def test_what_the_machine_does_is_no_methods_fault(act: Callable[[], None], remedy: str) -> None:
    error = caught(act)
    rule = infrastructure(error)
    assert rule is not None and remedy in rule.remedy and bool(rule.remedy) == bool(remedy)


@pytest.mark.parametrize(
    "error",
    [
        Diverged("the weights are not finite"),
        NotApplicable("no convolutions"),
        SearchFailed("no trial was completed"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        TypeError("'int' object is not callable"),
        ValueError("too few samples"),
        AssertionError(),
        KeyError("lr"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_what_a_method_does_is_its_own(error: Exception) -> None:
    assert infrastructure(error) is None
    assert rule_of_note(type(error).__name__, str(error)) is None


def test_a_divergence_stays_one_whatever_it_was_raised_from() -> None:
    error = Diverged("not finite")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert infrastructure(error) is None


def test_notes_are_judged_like_the_errors_they_are_of() -> None:
    for act in (full_disk, missing_file, no_memory, full_database):
        error = caught(act)
        assert rule_of_note(type(error).__name__, str(error)) == infrastructure(error)


def test_every_rule_can_be_met() -> None:
    assert all(rule.names and (rule.remedy or not rule.scarce) for rule in RULES)


def test_a_full_disk_ends_a_command_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: object) -> int:
        full_disk()
        return 0

    assert run_main(main, []) == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told and "results=DIR" in told and "Traceback" not in told


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(FileNotFoundError):
        run_main(lambda _: missing_file() or 0, [])
