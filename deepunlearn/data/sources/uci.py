"""Tables of the UCI Machine Learning Repository, by number or name, through ucimlrepo."""

from __future__ import annotations

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.fetched_tables import Fetched, find_fetched
from deepunlearn.data.fetched_tables import read_fetched as read
from deepunlearn.data.inventory import Inventory

__all__ = ["READS", "find", "read"]
READS = "tables"


def find(config: DatasetConfig) -> Inventory:
    """The kept file, fetched first where dataset.download=true."""
    return find_fetched(config, _fetch, "dataset.id=53, which is iris")


def _fetch(config: DatasetConfig) -> Fetched:
    try:
        from ucimlrepo import fetch_ucirepo  # noqa: PLC0415 - an extra, and only needed for fetching
    except ImportError as error:
        raise ConfigError(
            "tables of uci are fetched by ucimlrepo, which is not installed",
            given=str(error),
            allowed="ucimlrepo 0.0.7 or newer",
            remedy="pip install 'deepunlearn[tabular]'",
        ) from error
    table = fetch_ucirepo(**({"id": config.id} if isinstance(config.id, int) else {"name": config.id}))
    roles = {name: _names(table.data[name]) for name in ("ids", "features", "targets")}
    frame = table.data.original[[*roles["ids"], *roles["features"], *roles["targets"]]]
    return Fetched(frame, roles["targets"], roles["ids"])


def _names(frame: object) -> list[str]:
    return [] if frame is None else list(frame.columns)  # type: ignore[attr-defined]
