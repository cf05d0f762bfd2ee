"""From a bundle into a store: everything is verified before anything is written, and entries appear whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import Results, write_atomically
from deepunlearn.core.store import Batch, Store
from deepunlearn.share.bundle import META, Bundle, Packed, Told


class Sorted(NamedTuple):
    """The entries of a bundle that a store lacks, and those that it has."""

    new: list[Packed]
    had: list[Packed]


def sort(bundle: Bundle, results: Results, told: Told) -> Sorted:
    """Verify a bundle, all of it, and hold it against a store.

    Raises StoreError where anything in the bundle or in the store is damaged, ConfigError where an entry is in the
    store and is another one there.
    """
    for packed in bundle.manifest.entries:
        bundle.verify(packed, told)
    found, store = Sorted([], []), Store(results.store)
    for packed in bundle.manifest.entries:
        (found.had if _is_there(packed, store) else found.new).append(packed)
    return found


def take(bundle: Bundle, new: list[Packed], results: Results, told: Told) -> None:
    """Put these entries into a store, and beside it what the bundle says of itself.

    Where copying fails, none of them is there. They appear one after the other once all are on the disk; where the
    process is killed in between, those that are there are whole and the same command takes the rest.
    """
    store = Store(results.store)
    batch = Batch(store)
    with _folders([store.root / packed.entry for packed in new]):
        try:
            for packed in new:
                with batch.copying(store.root / packed.entry) as folder:
                    _copy(bundle, packed, folder, told)
            batch.publish()
        finally:
            batch.discard()
    manifest = bundle.manifest
    said = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(results.imported / f"{manifest.digest[:16]}.json", said)


def _copy(bundle: Bundle, packed: Packed, folder: Path, told: Told) -> None:
    for name in packed.files:
        with (folder / name).open("xb") as file:
            for chunk in bundle.chunks(packed, name):
                file.write(chunk)
                told(len(chunk))


def _is_there(packed: Packed, store: Store) -> bool:
    """Whether a store has an entry with the same files; when and by whom it was made may differ (meta.json)."""
    path = store.root / packed.entry
    if not path.exists():
        return False
    entry = store.open(path)
    own = {name: facts["sha256"] for name, facts in entry.meta["files"].items()}
    other = {name: member.sha256 for name, member in packed.files.items() if name != META}
    if differing := sorted({name for name, _ in own.items() ^ other.items()}):
        raise ConfigError(
            "an entry of the bundle is in the store already, and is another one there: nothing was imported",
            given=f"{packed.entry}: {', '.join(differing)}",
            allowed="entries that the store lacks, or has with the same content",
            remedy="import into another folder with results=DIR, or have it exported without that entry "
            "(methods=, dataset=, arch=)",
        )
    for name in own:
        entry.file(name)
    return True


@contextmanager
def _folders(entries: list[Path]) -> Iterator[None]:
    """The folders that are made on the way to these entries go again where the block fails, if they are empty."""
    missing = {parent for path in entries for parent in path.parents if not parent.exists()}
    try:
        yield
    except BaseException:
        for folder in sorted(missing, key=lambda one: len(one.parts), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
