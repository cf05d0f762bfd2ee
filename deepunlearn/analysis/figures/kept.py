"""Importances of hyper-parameters that an earlier report computed, kept beside the records.

For the paper's full set they take most of a report's time. They are found by a digest of all that they follow from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import optuna
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from deepunlearn.core.errors import StoreError
from deepunlearn.core.paths import write_atomically

VERSION = 1  # of how importances are computed; a new one leaves the kept ones unused
FILE = "importances.json"
READ_FROM = ["seed", "norm", "params", "ranges"]  # columns of completed trials

Kept = dict[str, dict[str, float]]  # digest of a search -> its importances
_KEPT = TypeAdapter(Kept)


def digest(done: pd.DataFrame) -> str:
    """Of one method's completed trials, as `search_spread.completed`, and of the programs that judge them."""
    table = done[READ_FROM].to_csv(index=False, float_format="%.17g")
    return hashlib.sha256(f"{VERSION} {optuna.__version__}\n{table}".encode()).hexdigest()


def read(path: Path) -> Kept:
    """What is kept in a file; nothing where there is none. Raises StoreError for a file that cannot be read."""
    if not path.is_file():
        return {}
    try:
        return _KEPT.validate_json(path.read_bytes())
    except ValidationError as error:
        raise StoreError(
            f"{path} cannot be used",
            given=str(error.errors()[0]["input"])[:200],
            allowed="importances that a report kept: a JSON object of objects of numbers",
            remedy="delete it: the next report computes them again",
        ) from None


def write(path: Path, kept: Mapping[str, Mapping[str, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _KEPT.dump_json({key: dict(kept[key]) for key in sorted(kept)}, indent=1).decode() + "\n")
