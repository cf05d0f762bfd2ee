"""The folder of results is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.store import draft_name
from deepunlearn.deletion.place import place_for


def test_results_appear_when_they_are_published_and_the_rest_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with place_for(out) as place:
        place.cache.mkdir()
        (place.cache / "image").write_text("x")
        (place.results / "report.json").write_text("{}")
        assert not out.exists()
        place.publish()
        assert [file.name for file in out.iterdir()] == ["report.json"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), place_for(tmp_path / "out") as place:
        (place.results / "report.json").write_text("{}")
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())


def test_the_draft_of_a_dead_process_is_removed_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"living": draft_name("out")}
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
    names |= {"dead": draft_name("out"), "other": draft_name("other")}
    monkeypatch.undo()
    for name in names.values():
        (tmp_path / name / "results").mkdir(parents=True)
    with place_for(tmp_path / "out"):
        pass
    assert {folder.name for folder in tmp_path.iterdir()} == {names["living"], names["other"]}


def test_what_cannot_be_removed_yet_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS keeps files that are mapped into memory under another name, and their folder with them."""

    def not_empty(path: object, **_: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    monkeypatch.setattr(os, "rmdir", not_empty)
    with place_for(tmp_path / "out") as place:
        place.publish()
    assert (tmp_path / "out").is_dir()


def test_what_came_about_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be put in its place"), place_for(tmp_path / "out") as place:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("x")
        place.publish()
    assert (tmp_path / "out" / "mine").read_text() == "x" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("parent", ["nowhere", "file"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"), place_for(tmp_path / parent / "out"):
        pass
