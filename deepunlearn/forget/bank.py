"""Memorisation scores of samples, from originals that `python -m deepunlearn.lira` has stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import Data, Indices
from deepunlearn.core.keys import MemorisationKey
from deepunlearn.core.store import DRAFT, MEMORISATION, Entry

LIRA = "run python -m deepunlearn.lira on the same data first, with results= that folder"


@dataclass(frozen=True)
class Memorised:
    """score [n]: of each of these training samples, -1 to 1, high for what is memorised; told: by which models."""

    rows: Indices
    score: npt.NDArray[np.float64]
    told: str


def entries(bank: str) -> list[Path]:
    """Folders with scores: `bank` itself, or those of all designs in a folder of results.

    Raises ConfigError where there are none.
    """
    folder = Path(bank)
    paths = [folder / MEMORISATION, *sorted(folder.glob(f"store/*/*/memorisation/*/*/{MEMORISATION}"))]
    found = [path.parent for path in paths if path.is_file() and not path.parent.name.startswith(DRAFT)]
    if not found:
        raise ConfigError(
            "there are no memorisation scores in forget.bank",
            given=f"forget.bank={bank}" + ("" if folder.is_dir() else ": no such folder"),
            allowed="a folder of results in which python -m deepunlearn.lira has trained all originals of a design",
            remedy=f"{LIRA}, or take forget.by=confidence",
        )
    return found


def memorised(bank: str, data: Data) -> Memorised:
    """The scores of the one design in `bank` that was made on these data. Raises ConfigError for none and several."""
    of_data = {path: arrays for path in entries(bank) if _is_of(arrays := _entry(path).arrays(MEMORISATION), data)}
    if len(of_data) != 1:
        raise ConfigError(
            "forget.bank has no memorisation scores of these data"
            if not of_data
            else "forget.bank has several of them",
            given=f"forget.bank={bank}: {', '.join(map(str, of_data or entries(bank)))}",
            allowed="one design of halvings on the samples and labels of this dataset",
            remedy="give the folder of one of them, the one with memorisation.npz" if of_data else LIRA,
        )
    ((path, arrays),) = of_data.items()
    return Memorised(arrays["rows"], arrays["score"], _told(path))


def _entry(path: Path) -> Entry:
    """Its files are checked when they are read."""
    key = json.loads((path / "config.json").read_text(encoding="utf-8"))["key"]
    return Entry(
        path, MemorisationKey.model_validate(key), json.loads((path / "meta.json").read_text(encoding="utf-8"))
    )


def _is_of(arrays: dict[str, npt.NDArray[np.generic]], data: Data) -> bool:
    rows = arrays["rows"]
    return bool(rows.max(initial=-1) < len(data.train_labels)) and np.array_equal(
        data.train_labels[rows.astype(np.int64)], arrays["labels"]
    )


def _told(path: Path) -> str:
    facts = _entry(path).json("memorisation.json")
    return (
        f"memorisation is that of {facts['halvings']} originals of {facts['arch_title']}, half of them trained on each "
        f"sample; right is {facts['right_is']}"
    )
