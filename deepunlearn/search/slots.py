"""Slots, storages and owners of Optuna studies: what planning needs to know of a search. Imports no torch."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import StudyKey
from deepunlearn.core.paths import Results
from deepunlearn.core.schema import CellConfig, SearchConfig
from deepunlearn.core.store import process_alive

optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage_url(search: SearchConfig, folder: Path) -> str:
    """`search.storage`, or the SQLite file under the results folder."""
    if search.storage:
        return search.storage
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{database(folder).absolute()}"


def database(folder: Path) -> Path:
    return folder / "studies.db"


@cache
def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Raises ConfigError where the URL cannot be used."""
    try:
        if url.startswith("sqlite:"):
            return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 120}})
        return optuna.storages.get_storage(url)
    except Exception as error:  # SQLAlchemy's and the drivers' own hierarchies have no common base
        raise ConfigError(
            "search.storage cannot be opened",
            given=f"{url} ({type(error).__name__}: {error})",
            allowed="an Optuna storage URL, e.g. sqlite:///studies.db or postgresql+psycopg://user@host/db",
            remedy="correct search.storage, or leave it null for SQLite under the results folder",
        ) from error


def study_name(key: StudyKey, cell: CellConfig, search: SearchConfig) -> str:
    """For people, and with the key's hash for us."""
    return f"{cell.dataset.name}-{cell.arch.name}-{key.method}-{search.space}-seed{key.original.seed}-{key.short}"


def count_finished(key: StudyKey, cell: CellConfig, search: SearchConfig, results: Results) -> int:
    """Finished slots of a study; 0 where it does not exist yet. Creates nothing."""
    if search.storage is None and not database(results.search).exists():
        return 0
    storage = open_storage(storage_url(search, results.search))
    try:
        study_id = storage.get_study_id_from_name(study_name(key, cell, search))
    except KeyError:
        return 0
    return len(finished_slots(storage.get_all_trials(study_id, deepcopy=False), search.trials))


def finished_slots(trials: list[FrozenTrial], count: int) -> dict[int, FrozenTrial]:
    """The finished trial of each slot below `count`; of two (an orphan's and its retry's) the earlier one."""
    found: dict[int, FrozenTrial] = {}
    for trial in trials:
        slot = trial.user_attrs.get("slot", -1)
        if 0 <= slot < count and is_finished(trial):
            found.setdefault(slot, trial)
    return found


def is_finished(trial: FrozenTrial) -> bool:
    """Complete, pruned, or failed because it diverged (protocol section 6)."""
    if trial.state == TrialState.FAIL:
        return bool(trial.user_attrs.get("outcome") == "diverged")
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def owner_name() -> str:
    """Who runs a trial: host, process, and the process's start, so that a reused process number is not mistaken."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


def owner_alive(owner: str) -> bool:
    """Whether that worker still runs. Workers of other hosts cannot be asked and count as alive."""
    host, pid, start = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    return process_alive(int(pid)) and _start_of(int(pid)) == start


def _start_of(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat")
    return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[19] if stat.exists() else ""
