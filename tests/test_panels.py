"""What is refused before anything is computed; the rest is in tests/test_report_browser.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.panels import collect
from deepunlearn.report import main


def test_records_have_no_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="records do not have") as caught:
        main([f"records={tmp_path}", "panels=true"])
    assert caught.value.remedy == "leave records= or panels=true out"


def test_a_folder_in_which_no_sweep_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the sweep wrote into"):
        collect(tmp_path, Progress(quiet=True))


def test_the_missing_package_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepunlearn.ops.class_maps.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="grad-cam, which is not installed"):
        main([f"results={tmp_path}", "panels=true"])
