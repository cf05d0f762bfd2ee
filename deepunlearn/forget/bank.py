"""Memorisation scores of samples, from originals that `python -m deepunlearn.lira` has stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import MemorisationKey
from deepunlearn.core.samples import Data, Indices
from deepunlearn.core.store import DRAFT, MEMORISATION, Entry

LIRA = "run python -m deepunlearn.lira on the same data first, with results= that folder"


@dataclass(frozen=True)
class Memorised:
    """score [n]: of each of these training samples, -1 to 1, high for what is memorised; told: by which models."""

    rows: Indices
    score: npt.NDArray[np.float64]
    told: str


def entries(bank: str, option: str = "forget.bank") -> list[Path]:
    """Folders with scores: `bank` itself, or those of all designs in a folder of results.

    option: what named it. Raises ConfigError where there are none.
    """
    folder = Path(bank)
    paths = [folder / MEMORISATION, *sorted(folder.glob(f"store/*/*/memorisation/*/*/{MEMORISATION}"))]
    found = [path.parent for path in paths if path.is_file() and not path.parent.name.startswith(DRAFT)]
    if not found:
        raise ConfigError(
            f"there are no memorisation scores in {option}",
            given=f"{option}={bank}" + ("" if folder.is_dir() else ": no such folder"),
            allowed="a folder of results in which python -m deepunlearn.lira has trained all originals of a design",
            remedy=f"{LIRA}, or go by confidence, which needs nothing stored",
        )
    return found


def scores_of(bank: str, data: Data, option: str = "forget.bank") -> npt.NDArray[np.float64]:
    """[N] of the whole training part, NaN of samples without a score. Raises ConfigError as `memorised`."""
    scores = np.full(len(data.train_labels), np.nan)
    found = memorised(bank, data, option)
    scores[found.rows] = found.score
    return scores


def digest_of(scores: npt.NDArray[np.float64]) -> str:
    """What identifies them: 64 hex digits."""
    return hashlib.sha256(scores.astype("<f8").tobytes()).hexdigest()


def memorised(bank: str, data: Data, option: str = "forget.bank") -> Memorised:
    """The scores of the one design in `bank` that was made on these data. Raises ConfigError for none and several."""
    of_data = {
        path: arrays for path in entries(bank, option) if _is_of(arrays := _entry(path).arrays(MEMORISATION), data)
    }
    if len(of_data) != 1:
        raise ConfigError(
            f"{option} has no memorisation scores of these data" if not of_data else f"{option} has several of them",
            given=f"{option}={bank}: {', '.join(map(str, of_data or entries(bank, option)))}",
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
