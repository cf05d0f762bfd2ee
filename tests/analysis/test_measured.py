"""Which stored values count, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.tables import legend
from deepunlearn.core.measure_config import Measure

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

YAML: dict[str, Any] = {
    "name": "mine", "version": 1, "title": "a test", "source": "a test", "kind": "score", "needs": ["logits"],
    "columns": [{"name": "Mine", "better": "lower", "meaning": "a test"}],
}  # fmt: skip


def model(seed: int, split: str | None = None) -> dict[str, Any]:
    """What keys say of a model; split: of a given original, which forget set it is held against."""
    own = {"subject": {"seed": seed}, "retrained": None if split else {"seed": seed}}
    return own | ({"split": {"forget": split}} if split else {})


def measured(shelf: Shelf, number: int, value: float, day: int, of: dict[str, Any], **changes: Any) -> None:
    """Store a value of a measure, computed on a day of January."""
    column = {"name": "Mine", "better": "lower", "meaning": changes.pop("meaning", "a test")}
    measure = Measure.model_validate(YAML | {"columns": [column]} | changes)
    folder = f"store/digits/resnet18/measures/ft/seed0-{number}"
    shelf._put(f"{folder}/values.json", {"description": measure.description, "values": {"Mine": value}})
    shelf._put(f"{folder}/config.json", {"key": {**of, "measure": measure.name}})
    shelf._put(f"{folder}/meta.json", {"date": f"2026-01-{day:02}"})


def scored(shelf: Shelf, seed: int, of: dict[str, Any], **changes: Any) -> None:
    shelf.add(seed=seed, metrics_key=str(seed) * 64, **changes)
    shelf._put(f"store/digits/resnet18/metrics/ft/seed{seed}-{str(seed) * 16}/config.json", {"key": of})


def values(shelf: Shelf) -> list[float]:
    return [float(one) for one in records.collect(shelf.root).rows.sort_values("seed")["Mine"]]


def test_values_count_together_however_their_measure_was_described(shelf: Shelf) -> None:
    for seed in (0, 1):
        scored(shelf, seed, model(seed))
    measured(shelf, 0, 0.25, 2, model(0))
    measured(shelf, 1, 0.5, 1, model(1), meaning="older words")
    assert values(shelf) == [0.25, 0.5]
    found = records.collect(shelf.root)
    assert found.catalogue["Mine"].meaning == "a test", "the newest words"
    measured(shelf, 1, 0.75, 3, model(1), code="another")
    assert values(shelf) == pytest.approx([float("nan"), 0.75], nan_ok=True)


def test_records_of_two_folders_count_together_likewise(shelf: Shelf) -> None:
    folders = []
    for seed in (0, 1):
        own = type(shelf)(shelf.root / str(seed))
        own.references(seed)
        scored(own, seed, model(seed))
        measured(own, seed, 0.5, 1, model(seed), meaning=f"words {seed}")
        records.collect(own.root).write(own.root)
        folders.append(own.root)
    read = records.read(folders)
    assert read.rows["Mine"].count() == 2 and read.catalogue["Mine"].meaning == "words 1"


def test_of_two_measures_with_one_column_the_newest_counts_and_tables_say_so(shelf: Shelf) -> None:
    scored(shelf, 0, model(0))
    measured(shelf, 0, 0.25, 1, model(0))
    measured(shelf, 1, 0.5, 2, model(0), name="renamed")
    found = records.collect(shelf.root)
    assert values(shelf) == [0.5] and "Left out" in legend(found.catalogue) and "mine (Mine)" in legend(found.catalogue)
    found.write(shelf.root)
    read = records.read([shelf.root])
    assert read.rows["Mine"].tolist() == [0.5] and [one.name for one in read.catalogue.left_out] == ["mine"]
    measured(shelf, 0, 0.75, 3, model(0))
    assert values(shelf) == [0.75]


def test_a_given_original_has_values_of_each_forget_set(shelf: Shelf) -> None:
    """Of one without a recipe nothing but the split says what is forgotten."""
    for number, split in enumerate(("random", "classes")):
        scored(shelf, number, model(0, split))
        measured(shelf, number, 0.25 * number, 1, model(0, split))
    assert values(shelf) == [0.0, 0.25]
