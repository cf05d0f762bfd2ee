"""What a user may read and write is found out before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.analysis.inputs import OPTIONS, load_records
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import is_readable
from deepunlearn.measure import main as measure


def test_a_results_folder_of_somebody_else_is_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    options = {**OPTIONS, "results": str(tmp_path)}
    for told in (f"a copy of {tmp_path}", f"records={tmp_path}"):
        with pytest.raises(ConfigError, match="results folder cannot be written") as caught:
            load_records(options)
        assert told in str(caught.value.remedy)
        (tmp_path / "records").mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match="results folder cannot be written") as caught:
        measure(["measures=[aus]", f"results={tmp_path}"])
    assert f"a copy of {tmp_path}" in str(caught.value.remedy)


def test_a_file_of_somebody_else_is_no_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.pt"
    assert not is_readable(file, "model")
    file.write_bytes(b"weights")
    assert is_readable(file, "model")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="you may not read model"):
        is_readable(file, "model")
    monkeypatch.setattr(Path, "is_file", _closed)
    with pytest.raises(ConfigError, match="you may not read model"):
        is_readable(file, "model")


def _closed(_: Path) -> bool:
    """As in a folder that one may not enter."""
    raise PermissionError(13, "Permission denied")
