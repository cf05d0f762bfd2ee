"""Which trials the dashboard of searches shows, in whatever storages they lie."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import Results
from deepunlearn.search.slots import database, journal_url, open_storage
from scripts.dashboard import main, storage_of


def study(url: str, name: str, trials: int = 1) -> None:
    made = optuna.create_study(storage=open_storage(url), study_name=name, directions=["minimize", "minimize"])
    for _ in range(trials):
        made.add_trial(optuna.trial.create_trial(values=[0.5, 0.25], user_attrs={"slot": 0}))


def shown(results: Path) -> dict[str, int]:
    storage = storage_of(results)
    return {one.study_name: len(storage.get_all_trials(one._study_id)) for one in storage.get_all_studies()}


def test_journals_of_a_cluster_are_shown_together(tmp_path: Path) -> None:
    search = Results(tmp_path).search
    study(journal_url(search, "first"), "first", trials=2)
    assert shown(tmp_path) == {"first": 2}
    assert isinstance(storage_of(tmp_path), optuna.storages.JournalStorage), "live, as it is the only one"
    study(journal_url(search, "second"), "second")
    assert shown(tmp_path) == {"first": 2, "second": 1}


@pytest.mark.slow
def test_a_database_is_shown_live_and_with_journals_as_a_copy(tmp_path: Path) -> None:
    search = Results(tmp_path).search
    study(f"sqlite:///{database(search).absolute()}", "old")
    assert isinstance(storage_of(tmp_path), optuna.storages.RDBStorage)
    study(journal_url(search, "new"), "new", trials=3)
    assert shown(tmp_path) == {"old": 1, "new": 3}


def test_without_studies_it_says_where_to_look(tmp_path: Path) -> None:
    for folder, said in ((tmp_path, "no study in it"), (tmp_path / "nowhere", "no such folder")):
        with pytest.raises(ConfigError, match="there is no search to show") as error:
            main([str(folder)])
        assert said in str(error.value) and "RESULTS=DIR" in str(error.value.remedy)
        assert not list(tmp_path.iterdir()), "it makes nothing"


@pytest.mark.slow
def test_the_real_page_lists_the_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked as a browser would, without a port."""
    import io
    import json

    from optuna_dashboard import wsgi

    study(journal_url(Results(tmp_path).search, "first"), "first")
    served = []
    monkeypatch.setattr("optuna_dashboard.run_server", lambda storage, port: served.append((wsgi(storage), port)))
    assert main([str(tmp_path), "--port", "1234"]) == 0
    ((application, port),) = served
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "wsgi.input": io.BytesIO(), "SERVER_NAME": "here",
             "SERVER_PORT": "1234", "wsgi.url_scheme": "http", "wsgi.errors": io.StringIO()}  # fmt: skip
    answer = json.loads(b"".join(application(asked, lambda status, headers, *more: None)))
    assert port == 1234 and [one["study_name"] for one in answer["study_summaries"]] == ["first"]
