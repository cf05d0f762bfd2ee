"""What a source knows of its samples beside images and labels: columns by name, and the names of files.

They lie in a folder of their own beside the decoded images, made when they are first asked for, so that images that
were decoded before there were attributes are still of use. They are no part of the data's digest: a forget set that
reads columns has their content in its own key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import DataError
from deepunlearn.core.paths import publish_folder
from deepunlearn.core.samples import Column
from deepunlearn.core.store import draft_name

VERSION = 2  # bump when a source of ours hands over other columns or names of the same files
FACTS = "attributes.json"
PARTS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Attributes:
    """Of the training and the test part: columns by name, int64, float64 or text [N]; the names of the files.

    A missing value is NaN or "". The two parts need not have the same columns.
    """

    train: Mapping[str, Column] = field(default_factory=dict)
    test: Mapping[str, Column] = field(default_factory=dict)
    train_names: Sequence[str] | None = None
    test_names: Sequence[str] | None = None


def column(values: npt.ArrayLike, name: str, length: int) -> Column:
    """`values` as a column of int64, float64 or text. Raises DataError for other values and another length."""
    array = np.asarray(values)
    kinds = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64, "U": np.str_}
    too_large = array.dtype.kind == "u" and bool((array > np.iinfo(np.int64).max).any())
    if array.shape != (length,) or array.dtype.kind not in kinds or too_large:
        raise DataError(
            f"attribute {name!r} cannot be used",
            given=f"an array of {array.dtype}, shape {array.shape}",
            allowed=f"{length} whole numbers below 2^63, numbers or texts",
            remedy="correct the source of the dataset; missing values are NaN or an empty text, larger numbers texts",
        )
    return array.astype(kinds[array.dtype.kind], copy=False)


class CachedAttributes:
    """The attributes in `folder`, mapped column by column as they are asked for; `make` reads them from the source."""

    def __init__(self, folder: Path, make: Callable[[], Attributes]) -> None:
        self._folder, self._make = folder, make

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts = _facts(self._folder)
        if facts is None:
            store(self._make(), self._folder)
            facts = _facts(self._folder)
            assert facts is not None, "what was just written is there"
        return facts

    @cached_property
    def train(self) -> Mapping[str, Column]:
        return _Stored(self._folder, self._facts["train"])

    @cached_property
    def test(self) -> Mapping[str, Column]:
        return _Stored(self._folder, self._facts["test"])

    @cached_property
    def train_names(self) -> Sequence[str] | None:
        return self._names("train")

    @cached_property
    def test_names(self) -> Sequence[str] | None:
        return self._names("test")

    def _names(self, part: str) -> Sequence[str] | None:
        file = f"{part}_names.npy"
        return np.load(self._folder / file) if file in self._facts["bytes"] else None


class _Stored(Mapping[str, Column]):
    """Columns by name, each read when it is asked for."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder, self._files = folder, files

    def __getitem__(self, name: str) -> Column:
        stored: Column = np.load(self._folder / self._files[name])
        return stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def store(attributes: Attributes, folder: Path) -> None:
    """Write them to `folder`, which is there whole or not at all."""
    draft = folder.with_name(draft_name(folder.name))
    draft.mkdir(parents=True)
    try:
        facts: dict[str, Any] = {part: _write(getattr(attributes, part), part, draft) for part in PARTS}
        for part in PARTS:
            names = getattr(attributes, f"{part}_names")
            if names is not None:
                np.save(draft / f"{part}_names.npy", np.asarray(names, dtype=np.str_))
        facts["bytes"] = {path.name: path.stat().st_size for path in draft.iterdir()}
        (draft / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        publish_folder(draft, folder, lambda there: _facts(there) is not None)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(columns: Mapping[str, Column], part: str, draft: Path) -> dict[str, str]:
    """Column's name -> its file; names are anybody's, so files are numbered."""
    files = {name: f"{part}_column_{number}.npy" for number, name in enumerate(columns)}
    for name, file in files.items():
        np.save(draft / file, columns[name])
    return files


def _facts(folder: Path) -> dict[str, Any] | None:
    """The facts of a complete folder; None where it is missing or damaged."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in facts["bytes"].items())
        return facts if whole and facts.keys() >= set(PARTS) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None  # a cut or foreign file: the source is read again
