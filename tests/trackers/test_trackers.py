"""Which trackers there are, and what is said where a library is missing."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import PACKAGE
from deepunlearn.core.schema import SweepConfig
from deepunlearn.trackers import LIBRARIES, check_installed
from tests.commands import called, refusal


def test_each_tracker_of_the_option_has_a_file_and_an_extra() -> None:
    named = [one for one in get_args(SweepConfig.model_fields["tracker"].annotation) if one != "none"]
    files = {path.stem for path in (PACKAGE / "trackers").glob("*.py")} - {"__init__", "base"}
    extras = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(named) == files == set(LIBRARIES) and set(named) <= set(extras)


def test_a_missing_library_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "wandb" else found(name, *more)
    )
    done = called(tmp_path, "tracker=wandb")
    assert done.returncode == 2 and "pip install 'deepunlearn[wandb]'" in done.stderr
    assert "none, mlflow, tensorboard" in done.stderr and not list(tmp_path.iterdir())
    check_installed("none")


def test_a_folder_of_a_librarys_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigError, match="the library of tracker=wandb is not installed") as caught:
        check_installed("wandb")
    assert "pip install 'deepunlearn[wandb]'" in str(caught.value.remedy) and "wandb" not in str(caught.value.allowed)


def test_an_unknown_tracker_is_refused() -> None:
    error = refusal("tracker=comet")
    assert "tracker" in error.problem and "wandb" in str(error.allowed)
