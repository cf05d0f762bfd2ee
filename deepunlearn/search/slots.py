"""Slots, storages and owners of Optuna studies: what planning needs to know of a search. Imports no torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import StudyKey
from deepunlearn.core.paths import Results
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.search_config import SearchConfig

DEFAULTS = ("sqlite", "journal")
STOPPED = "stopped"  # attribute of a study that ended before its last trial: after how many, and why
OWN_SECONDS = "own_seconds"  # attribute of a trial that began with others: without the wait for them
LOCK_GRACE_SECONDS = 10  # a lock of a killed process counts as given up after so long
optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage_url(search: SearchConfig, folder: Path, study: str) -> str:
    """Where a study is: `search.storage`; or below the results folder, where it is already or else as that says.

    `sqlite` (or null) is one database, for processes of one machine; `journal` one file per study, for many machines.
    """
    if search.storage not in (None, *DEFAULTS):
        return str(search.storage)
    journal, sqlite = journal_url(folder, study), f"sqlite:///{database(folder).absolute()}"
    if journal_file(journal).exists():
        return journal
    if search.storage == "journal" and not (database(folder).exists() and _has_study(sqlite, study)):
        return journal
    return sqlite


def database(folder: Path) -> Path:
    return folder / "studies.db"


def journal_url(folder: Path, study: str) -> str:
    return f"journal:///{(folder / 'journals' / f'{study}.journal').absolute()}"


def journal_file(url: str) -> Path:
    return Path("/" + url.removeprefix("journal:").lstrip("/"))


def _has_study(url: str, study: str) -> bool:
    try:
        open_storage(url).get_study_id_from_name(study)
    except KeyError:
        return False
    return True


def _open_sqlite(url: str, attempts: int = 5) -> optuna.storages.RDBStorage:
    """Of two processes that make the same database at once one is told that its tables exist: it looks again."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - only with a database

    try:
        return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 120}})
    except DBAPIError:
        if attempts == 1:
            raise
        time.sleep(0.2)
        return _open_sqlite(url, attempts - 1)


OPENED: dict[str, tuple[int | None, optuna.storages.BaseStorage]] = {}  # URL -> its file's number, storage


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """One of each URL in this process, and another where its file is gone: one may delete results and sweep on.

    Raises ConfigError where the URL cannot be used.
    """
    if url not in OPENED or OPENED[url][0] != _file_number(url):
        storage = _open(url)
        OPENED[url] = _file_number(url), storage
    return OPENED[url][1]


def _file_number(url: str) -> int | None:
    """Of the file behind a URL; None where there is none, as of a database on a server."""
    if url.startswith("journal:"):
        path = journal_file(url)
    elif url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
    else:
        return None
    return path.stat().st_ino if path.exists() else None


def _open(url: str) -> optuna.storages.BaseStorage:
    try:
        if url.startswith("journal:"):
            return _open_journal(journal_file(url))
        if url.startswith("sqlite:"):
            database(Path(url.removeprefix("sqlite:///")).parent).parent.mkdir(parents=True, exist_ok=True)
            return _open_sqlite(url)
        return optuna.storages.get_storage(url)
    except Exception as error:  # SQLAlchemy's and the drivers' own hierarchies have no common base
        raise ConfigError(
            "search.storage cannot be opened",
            given=f"{url} ({type(error).__name__}: {error})",
            allowed="sqlite, journal, or an Optuna storage URL such as postgresql+psycopg://user@host/db",
            remedy="correct search.storage, or leave it null for a file under the results folder",
        ) from error


def prepare_storage(search: SearchConfig, folder: Path) -> None:
    """Make the tables of a database, which several processes must not do at a time. Raises ConfigError."""
    url = storage_url(search, folder, "")
    if not url.startswith("journal:"):
        open_storage(url)


def _open_journal(path: Path) -> optuna.storages.BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_TidyLock(path)))


class _TidyLock(JournalFileOpenLock):
    """Cuts off, before anything is appended, a last line that a killed process left unfinished.

    Optuna would append to that line, and the study could not be read any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path.absolute()), grace_period=LOCK_GRACE_SECONDS)
        self._path = path

    def acquire(self) -> bool:
        taken = super().acquire()
        with self._path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                file.truncate(whole)
        return taken


def study_name(key: StudyKey, cell: CellConfig, search: SearchConfig) -> str:
    """For people, and with the key's hash for us."""
    return f"{cell.dataset.name}-{cell.arch.name}-{key.method}-{search.space}-seed{key.original.seed}-{key.short}"


class StoredStudy(NamedTuple):
    """finished: the finished trial of each slot; trials: how many there are to be, fewer where it has stopped early."""

    finished: dict[int, FrozenTrial]
    trials: int


def stored_study(key: StudyKey, cell: CellConfig, search: SearchConfig, results: Results) -> StoredStudy:
    """What there is of a study; nothing where it does not exist yet. Creates nothing."""
    name = study_name(key, cell, search)
    url = storage_url(search, results.search, name)
    if not _is_there(url):
        return StoredStudy({}, search.trials)
    storage = open_storage(url)
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return StoredStudy({}, search.trials)
    trials = trials_wanted(storage, study_id, search)
    return StoredStudy(finished_slots(storage.get_all_trials(study_id, deepcopy=False), trials), trials)


def trials_wanted(storage: optuna.storages.BaseStorage, study_id: int, search: SearchConfig) -> int:
    """`search.trials`, or fewer where the study has stopped early."""
    if not search.stops_early:
        return search.trials
    stopped = storage.get_study_user_attrs(study_id).get(STOPPED)
    return search.trials if stopped is None else min(search.trials, stopped["after"])


def _is_there(url: str) -> bool:
    """Whether a storage that is a file exists; of a server, that it does."""
    if url.startswith("journal:"):
        return journal_file(url).exists()
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def finished_slots(trials: list[FrozenTrial], count: int) -> dict[int, FrozenTrial]:
    """The finished trial of each slot below `count`; of two (an orphan's and its retry's) the earlier one."""
    by_slot: dict[int, FrozenTrial] = {}
    for trial in trials:
        slot = trial.user_attrs.get("slot", -1)
        if 0 <= slot < count and is_finished(trial):
            by_slot.setdefault(slot, trial)
    return by_slot


def seconds_of(trial: FrozenTrial) -> float | None:
    """Wall seconds of a finished trial, scoring included; of what trials did together its share."""
    own = trial.user_attrs.get(OWN_SECONDS)
    if own is not None:
        return float(own)
    return None if trial.duration is None else trial.duration.total_seconds()


def is_finished(trial: FrozenTrial) -> bool:
    """Complete, pruned, or failed because it diverged (protocol section 6)."""
    if trial.state == TrialState.FAIL:
        return bool(trial.user_attrs.get("outcome") == "diverged")
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
