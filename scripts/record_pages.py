"""What scripts share that make a page of stored records: their options, and where records lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.records import FOLDER, Records
from deepunlearn.cli import wants_help
from deepunlearn.core.measure_config import Column
from deepunlearn.core.paths import Results, write_atomically


def print_page(
    arguments: Sequence[str], *, told: str | None, records: str, page_of: Callable[[Sequence[Path]], str]
) -> int:
    """The command with records=DIR[,DIR...] and page=FILE; returns the exit code.

    told: its help; records: where they lie if nothing is said; page_of: makes the text of the folders.
    """
    if wants_help(arguments):
        print(told)
        return 0
    options = parse_options(arguments, {"records": records, "page": "none"})
    text = page_of([one for name in str(options["records"]).split(",") for one in folders_in(Path(name))])
    print(text)
    if options["page"] != "none":
        write_atomically(Path(str(options["page"])), text)
    return 0


def folders_in(folder: Path) -> list[Path]:
    """Those with records: `folder` itself, or where it has neither records nor a store, the folders in it."""
    own = (folder / FOLDER).is_dir() or Results(folder).store.is_dir()
    return [folder] if own else sorted(path.parent for path in folder.glob(f"*/{FOLDER}")) or [folder]


def columns_of(records: Records) -> Mapping[str, Column]:
    """The columns of the records' measures, by name."""
    return {column.name: column for measure in records.catalogue.measures for column in measure.columns}
