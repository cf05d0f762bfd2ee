"""Where studies are stored, and which trials of a slot count."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from deepunlearn.search.slots import OPENED, finished_slots, open_storage, storage_url
from deepunlearn.search.study import SlotStudy
from tests.commands import LIMIT, SERVER
from tests.search.arithmetic import METHOD, run, search

pytestmark = pytest.mark.usefixtures("arithmetic_score")


def test_a_torn_last_line_of_a_journal_is_cut_before_anything_follows_it(tmp_path: Path) -> None:
    settings = search(storage="journal", trials=3)
    run(tmp_path, settings)
    (path,) = (tmp_path / "search" / "journals").glob("*.journal")
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x"')  # as a killed process leaves it
    OPENED.clear()
    study, _ = run(tmp_path, search(storage="journal", trials=5))
    OPENED.clear()
    again = SlotStudy(study.experiment, METHOD, search(storage="journal", trials=5), (0,))  # type: ignore[arg-type]
    assert sorted(again.finished()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_after_results_were_deleted_the_same_process_begins_anew(storage: str, tmp_path: Path) -> None:
    """As in a notebook, whose kernel goes on: a deleted file that is still open takes trials that nobody finds."""
    for _ in range(2):
        study, _ = run(tmp_path, search(storage=storage, trials=3))
        assert sorted(study.finished()) == [0, 1, 2]
        opened = open_storage(url := storage_url(search(storage=storage), tmp_path / "search", study.name))
        assert open_storage(url) is opened
        assert list((tmp_path / "search").rglob("*.db" if storage == "sqlite" else "*.journal"))
        shutil.rmtree(tmp_path / "search")


def test_a_study_is_found_where_it_began(tmp_path: Path) -> None:
    """A search that began on one machine goes on on a cluster, and the other way round."""
    for first, then in (("sqlite", "journal"), ("journal", None)):
        root = tmp_path / first
        study, _ = run(root, search(storage=first, trials=3))
        began = storage_url(search(storage=first), root / "search", study.name)
        assert storage_url(search(storage=then), root / "search", study.name) == began
    assert storage_url(search(storage="journal"), tmp_path / "new", "x").startswith("journal:")
    assert storage_url(search(), tmp_path / "new", "x").startswith("sqlite:")


def test_of_an_orphans_and_its_retrys_result_the_earlier_counts() -> None:
    trials = [
        optuna.trial.create_trial(value=value, user_attrs={"slot": 0}, state=TrialState.COMPLETE)
        for value in (1.0, 2.0)
    ]
    assert finished_slots(trials, 1)[0].value == 1.0
    assert finished_slots(trials, 0) == {}


def open_together(urls: list[str], all_there: Any) -> None:
    for url in urls:
        all_there.wait()
        open_storage(url)


@pytest.mark.slow
def test_processes_that_make_the_same_database_at_once_all_get_it(tmp_path: Path) -> None:
    urls, all_there = [f"sqlite:///{tmp_path / str(turn) / 'studies.db'}" for turn in range(4)], SERVER.Barrier(2)
    opening = [SERVER.Process(target=open_together, args=(urls, all_there)) for _ in range(2)]
    for process in opening:
        process.start()
    for process in opening:
        process.join(LIMIT)
    assert [process.exitcode for process in opening] == [0, 0]
