"""What a result says of the code that made it, and of the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deepunlearn.core import provenance


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that has the running module at its place."""
    module = tmp_path / "deepunlearn" / "core" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.write_text("code")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.md").write_text("a table")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(module))
    provenance.commit.cache_clear()
    monkeypatch.setattr(provenance, "commit", provenance.commit.__wrapped__)  # asked anew each time
    return tmp_path


def test_a_clean_tree_is_its_commit(clone: Path) -> None:
    assert len(provenance.commit()) == 12
    (clone / "notes.txt").write_text("not tracked")
    assert not provenance.commit().endswith("+")


def test_changed_code_is_marked_and_changed_results_are_not(clone: Path) -> None:
    (clone / "results" / "table.md").write_text("another")
    assert not provenance.commit().endswith("+")
    (clone / "deepunlearn" / "core" / "provenance.py").write_text("changed")
    assert provenance.commit().endswith("+")


def test_the_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5}, raising=False)
    assert provenance.cores() == {1, 5}


@pytest.mark.parametrize(("counted", "expected"), [(3, {0, 1, 2}), (None, {0})])
def test_where_none_can_be_forbidden_they_are_all_of_the_machine(
    counted: int | None, expected: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert provenance.cores() == expected
