"""Meters of energy: files as Linux shows them, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.errors import NotApplicable
from deepunlearn.instruments import energy
from deepunlearn.instruments.energy import Joules, graphics, processors
from deepunlearn.testing.small import runtime
from tests.commands import until


def domain(root: Path, name: str, kind: str, counted: int, full: int = 10_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for file, text in (("name", kind), ("energy_uj", counted), ("max_energy_range_uj", full)):
        (folder / file).write_text(f"{text}\n")
    return folder


def test_joules_of_all_processors_are_added_and_an_overflow_is_seen(tmp_path: Path) -> None:
    first = domain(tmp_path, "intel-rapl:0", "package-0", 4_000_000)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 9_000_000)
    part = domain(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    domain(tmp_path, "intel-rapl:2", "psys", 1_000_000)
    meters = processors(tmp_path)
    with Joules(runtime(), meters) as found:
        for folder, counted in ((first, 5_500_000), (second, 500_000), (part, 7_000_000)):
            (folder / "energy_uj").write_text(f"{counted}\n")
    assert len(meters) == 2 and found.joules == pytest.approx(1.5 + 1.5)


def test_a_meter_may_be_full_several_times_in_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "READ_SECONDS", 0.001)
    file = domain(tmp_path, "intel-rapl:0", "package-0", 4_000_000) / "energy_uj"
    with Joules(runtime(), processors(tmp_path)) as found:
        for counted, joules in ((9_000_000, 5), (3_000_000, 9), (8_000_000, 14), (2_000_000, 18)):
            (tmp_path / "next").write_text(f"{counted}\n")
            (tmp_path / "next").replace(file)
            until(lambda joules=joules: found.joules == pytest.approx(joules))
    assert found.joules == pytest.approx(18)


def test_a_reading_that_fails_within_a_block_is_told_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the meter can be read again by then: it may have begun at 0 in between."""
    monkeypatch.setattr(energy, "READ_SECONDS", 0.001)
    file = domain(tmp_path, "intel-rapl:0", "package-0", 4_000_000) / "energy_uj"
    found = Joules(runtime(), processors(tmp_path))
    with pytest.raises(FileNotFoundError, match="energy_uj"), found:
        text = file.read_text()
        file.unlink()
        until(lambda: not found._reader.is_alive())
        file.write_text(text)
    with pytest.raises(KeyError, match="of the block"), found:
        file.unlink()
        until(lambda: not found._reader.is_alive())
        file.write_text(text)
        raise KeyError("of the block")
    with found:
        pass


def test_a_machine_without_meters_says_so(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0:0", "core", 1)
    with pytest.raises(NotApplicable, match="no package") as error:
        processors(tmp_path)
    assert "energy_uj" in str(error.value)


def test_meters_that_may_not_be_read_say_so(tmp_path: Path) -> None:
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    (folder / "energy_uj").unlink()  # to a superuser, in whose name tests may run, nothing is forbidden
    with pytest.raises(NotApplicable, match="energy_uj"):
        processors(tmp_path)


def test_a_gpu_that_is_not_there_says_so() -> None:
    with pytest.raises(NotApplicable, match="GPU"):
        graphics("GPU-00000000-0000-0000-0000-000000000000")
