"""Tables from the net, fetched once and kept as a Parquet file, which no later run needs a network for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.core.paths import write_bytes_atomically
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import held_out
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory, no_root, stamp
from deepunlearn.data.table_files import facts, read_table

KEPT = b"deepunlearn"  # under which the file says what its source does of targets and identifiers
BETWEEN = "\x1f"


class Fetched(NamedTuple):
    """A table with what its source says of the columns: which hold classes, and which name rows."""

    frame: Any  # pandas.DataFrame
    targets: Sequence[str]
    identifiers: Sequence[str]


def find_fetched(
    config: DatasetConfig, fetch: Callable[[DatasetConfig], Fetched], example: str, is_near: bool = False
) -> Inventory:
    """The kept file; fetched first if it is missing and dataset.download=true, or where that takes no network.

    is_near: what `fetch` needs is on this machine. Raises ConfigError without dataset.id, MissingData without the file.
    """
    if config.root is None:
        raise no_root(config, "the folder in which fetched tables are kept")
    if config.id is None:
        raise ConfigError(
            f"which table of {config.source} is not said",
            given="dataset.id=null",
            allowed="its number or name there",
            remedy=f"give e.g. {example}",
        )
    root = Path(config.root).expanduser().absolute()
    safe = re.sub(r"[^\w.-]+", "_", str(config.id))
    name = f"{config.source}-{safe}.parquet"
    if not (root / name).is_file():
        if not (config.download or is_near):
            raise _missing(config, root / name)
        _keep(config, _fetched(config, fetch, root / name), root / name)
    said = (config.source, f"test_ratio={held_out(config)}", *facts(config))
    return Inventory(root, (stamp(root, name),), said)


def read_fetched(config: DatasetConfig, inventory: Inventory) -> RawData:
    """All columns; what names rows, and other targets, are attributes alone."""
    table = read_table(inventory.root / inventory.files[0].path)
    from deepunlearn.data.tables import table_data  # noqa: PLC0415 - pyarrow

    targets, identifiers = _said(table)
    target = config.target or (targets[0] if len(targets) == 1 else None)
    left_out = [name for name in (*identifiers, *targets) if name != target and name not in config.ignore]
    own = config.model_copy(update={"ignore": (*config.ignore, *left_out)})
    return table_data(own, table, target)


def _said(table: Any) -> tuple[list[str], list[str]]:
    """(targets, identifiers), as the source says."""
    texts = (table.schema.metadata or {}).get(KEPT, b"\n").decode("utf-8").split("\n")
    targets, identifiers = (text.split(BETWEEN) if text else [] for text in texts)
    return targets, identifiers


def _missing(config: DatasetConfig, path: Path) -> MissingData:
    return MissingData(
        f"table {config.id} of {config.source} is not there",
        given=f"no file {path}",
        allowed="the file, as an earlier run has kept it",
        remedy="give dataset.download=true to fetch it once, or copy the file there from a machine with a network, or "
        "give dataset=table dataset.root=FILE for a file of your own",
    )


def _fetched(config: DatasetConfig, fetch: Callable[[DatasetConfig], Fetched], path: Path) -> Fetched:
    try:
        fetched = fetch(config)
    except (OSError, ValueError, RuntimeError) as error:  # no network, no such table, an answer that is no table
        raise _failed(config, path, error) from error
    except Exception as error:
        if type(error).__name__ not in ("DatasetNotFoundError", "OpenMLError"):
            raise
        raise _failed(config, path, error) from error
    return fetched


def _failed(config: DatasetConfig, path: Path, error: Exception) -> DataError:
    return DataError(
        f"table {config.id} of {config.source} could not be fetched",
        given=f"{type(error).__name__}: {error}"[:300],
        allowed=f"a number or name that {config.source} knows, and a network, or the file {path}",
        remedy="check dataset.id and try again, or copy the file there from a machine with network access, or give "
        "dataset=table dataset.root=FILE for a file of your own",
    )


def _keep(config: DatasetConfig, fetched: Fetched, path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - half a second, and only needed here
    from pyarrow import parquet  # noqa: PLC0415

    frame = fetched.frame.rename(columns=str)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowException as error:
        raise _failed(config, path, error) from error
    said = "\n".join(BETWEEN.join(map(str, names)) for names in (fetched.targets, fetched.identifiers))
    content = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata({KEPT: said.encode()}), content)
    write_bytes_atomically(path, content.getvalue().to_pybytes())
