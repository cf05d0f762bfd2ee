"""Decoding happens once: images of one size, or a table's rows, as plain arrays on disk, named by what they come from.

`<cache>/data/<content key>-<image size>/` (`-table/`) holds the arrays and `data.json`; `<cache>/data/keys/` remembers
the content key of files whose names, sizes and times have not changed, so that a second run opens no image. Everything
here can be deleted at any time. Imports no torch, and torchvision only while decoding, so that planning is quick.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import DataError
from deepunlearn.core.paths import publish_folder, write_atomically
from deepunlearn.core.samples import NO_COLUMNS, Columns, Indices
from deepunlearn.core.schema import DatasetConfig, Features, Inputs
from deepunlearn.core.store import DRAFT, draft_name, remove_dead_drafts
from deepunlearn.data import sources
from deepunlearn.data.attributes import VERSION as ATTRIBUTES_VERSION
from deepunlearn.data.attributes import Attributes, CachedAttributes, store
from deepunlearn.data.copies import EXAMPLES, Found, Hashes, Images, pixel_hash
from deepunlearn.data.handed_over import checked
from deepunlearn.data.images import Pixels, RawData, RawPart, resized
from deepunlearn.data.inventory import ADVANCE, Inventory

if TYPE_CHECKING:
    from deepunlearn.core.progress import Bar, Progress

Labels = npt.NDArray[np.int64]
Arrays = npt.NDArray[Any]  # images uint8 [N, C, S, S], or a table's rows float32 [N, D]

KEY_LENGTH = 32  # hex digits in folder names
HASH = re.compile(r"[0-9a-f]{64}")
FACTS = "data.json"
NEEDED = {"digest", "class_names", "copies", "remarks"}  # facts without which a cache folder is no use
PARTS = ("train", "test")


def nobody() -> Indices:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Decoded:
    """A dataset ready for use.

    train_images, test_images: uint8 [N, C, S, S], memory-mapped, C = 1 (all images are grey) or 3; of a table its rows,
    float32 [N, D], as the network sees them; *_labels: int64 [N]; digest: hex sha256 of the images before resizing (of
    the rows), labels and class names, whatever their paths and S, and of which training images take no part; dropped:
    these, int64, sorted; attributes: what else is known of samples, read when it is asked for.
    """

    train_images: Arrays
    test_images: Arrays
    train_labels: Labels
    test_labels: Labels
    class_names: tuple[str, ...]
    digest: str
    dropped: Indices = field(default_factory=nobody)
    attributes: Columns = NO_COLUMNS

    @property
    def inputs(self) -> Inputs:
        """What a network for them is built for."""
        return inputs_of(self.train_images.shape[1:])


def inputs_of(shape: Sequence[int]) -> Inputs:
    """The same, of samples [C, S, S] or [D]."""
    return shape[-1] if len(shape) == 3 else Features(shape[0])


@dataclass(frozen=True, eq=False)
class Digest:
    """What planning needs to know of a dataset, and what its user should."""

    digest: str
    class_names: tuple[str, ...]
    train_labels: Labels
    test_labels: Labels
    dropped: Indices = field(default_factory=nobody)  # training images that take no part
    hashes: tuple[Hashes, Hashes] | None = None  # of the pixels, training and test part
    copies: dict[str, Found] = field(default_factory=dict)  # kind -> how many images are there twice
    remarks: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # what was done to images -> their count, and names of some
    left_out: tuple[str, ...] = ()  # files that are not read
    attributes: Columns = NO_COLUMNS  # what else is known of the samples, read when it is asked for
    features: tuple[str, ...] | None = None  # what a network sees of a row, of tables


def load(config: DatasetConfig, cache: Path, progress: Progress) -> Decoded:
    """The decoded dataset, from `cache` where it is there. All of it: `dataset.limit` is the split's business.

    Raises DataError (missing, damaged or unfit files, each named) and ConfigError (a source that cannot serve).
    """
    folder, facts, inventory = _ensure(config, cache, progress)
    images = {part: _mapped(folder / f"{part}_images.npy") for part in PARTS}
    dropped = _dropped(config, folder)
    digest = _without(facts["digest"], dropped)
    names, more = tuple(facts["class_names"]), _attributes(config, inventory, folder, cache)
    return Decoded(images["train"], images["test"], *_labels(folder), names, digest, dropped, more)


def digest_of(config: DatasetConfig, cache: Path, progress: Progress) -> Digest:
    """The identity and labels of the dataset; decodes it if that has not been done. Raises what `load` raises."""
    folder, facts, inventory = _ensure(config, cache, progress)
    dropped = _dropped(config, folder)
    return Digest(
        _without(facts["digest"], dropped),
        tuple(facts["class_names"]),
        *_labels(folder),
        dropped,
        _arrays(folder, "hashes"),
        _copies(facts),
        facts["remarks"],
        inventory.left_out,
        _attributes(config, inventory, folder, cache),
        tuple(facts["features"]) if config.is_table else None,
    )


def as_published(config: DatasetConfig) -> Digest | None:
    """What planning can assume of a dataset without its files: its size, classes and persons in turn; None if unknown.

    The digest is one that no data have, so that nothing stored is taken for it.
    """
    if config.is_table or config.classes is None or config.train_images is None or config.test_images is None:
        return None
    train, test = (np.arange(size) % config.classes for size in (config.train_images, config.test_images))
    persons = [
        {"identity": np.arange(len(one)) % config.persons + 1} if config.persons else {} for one in (train, test)
    ]
    return Digest(
        "0" * 64, tuple(map(str, range(config.classes))), train, test, attributes=Attributes(persons[0], persons[1])
    )


def _mapped(path: Path) -> Arrays:
    """The array in `path` without reading it, or read where the file system maps no files (some network mounts)."""
    try:
        samples: Arrays = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        samples = np.load(path, allow_pickle=False)
    return samples


def _labels(folder: Path) -> tuple[Labels, Labels]:
    return _arrays(folder, "labels")


def _arrays(folder: Path, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    train, test = (np.load(folder / f"{part}_{name}.npy") for part in PARTS)
    return train, test


def _ensure(config: DatasetConfig, cache: Path, progress: Progress) -> tuple[Path, dict[str, Any], Inventory]:
    """The folder of the decoded dataset, its facts and what it was made from."""
    inventory = sources.find(config)
    with _reporting_full_disks(cache):
        key = _content_key(config, inventory, cache, progress)
        folder = cache / "data" / f"{key[:KEY_LENGTH]}-{config.image_size or 'table'}"
        facts = _facts(folder)
        if facts is None:
            facts = _decode(config, inventory, folder, progress)
    _check_classes(config, facts["class_names"])
    _check_copies(config, _copies(facts))
    return folder, facts, inventory


def _attributes(config: DatasetConfig, inventory: Inventory, folder: Path, cache: Path) -> CachedAttributes:
    """Attributes do not depend on the size of images, so those of all sizes share theirs."""

    def read() -> Attributes:
        with _reporting_full_disks(cache):
            return sources.read(config, inventory).attributes

    return CachedAttributes(_attributes_folder(folder), read)


def _attributes_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name.partition('-')[0]}-attributes-{ATTRIBUTES_VERSION}")


def _content_key(config: DatasetConfig, inventory: Inventory, cache: Path, progress: Progress) -> str:
    memo = cache / "data" / "keys" / inventory.fingerprint()[:KEY_LENGTH]
    if memo.is_file() and HASH.fullmatch(key := memo.read_text(encoding="utf-8", errors="replace")):
        return key
    key = inventory.content_key(f"reading {config.name}", progress)
    write_atomically(memo, key)
    return key


def _check_classes(config: DatasetConfig, class_names: list[str]) -> None:
    if config.classes not in (None, len(class_names)):
        shown = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
        raise DataError(
            f"dataset {config.name} has {config.classes} classes, these files have {len(class_names)}",
            given=shown,
            allowed=f"{config.classes} classes (dataset.classes)",
            remedy="leave dataset.classes out, or point dataset.root=DIR to the right files, or give dataset=folder",
        )


# ------------------------------------------------------------------------------------------------------------- copies


def _images(folder: Path) -> Images:
    hashes, labels = _arrays(folder, "hashes"), _labels(folder)
    return Images(np.concatenate(hashes), np.concatenate(labels), len(hashes[0]))


def _dropped(config: DatasetConfig, folder: Path) -> Indices:
    """The training images that take no part."""
    return _images(folder).surplus() if config.duplicates == "drop" else nobody()


def _without(digest: str, dropped: Indices) -> str:
    """The identity of the data that are left."""
    if not len(dropped):
        return digest
    return hashlib.sha256(f"{digest} without {dropped.tolist()}".encode()).hexdigest()


def _copies(facts: dict[str, Any]) -> dict[str, Found]:
    return {kind: Found(count, tuple(map(tuple, examples))) for kind, (count, examples) in facts["copies"].items()}


def _check_copies(config: DatasetConfig, copies: dict[str, Found]) -> None:
    in_test, repeated = copies["in test"], copies["repeated"]
    if config.duplicates != "error" or not in_test.count + repeated.count:
        return
    shown = "; ".join(" = ".join(pair) for pair in (in_test.examples + repeated.examples)[:EXAMPLES])
    what = "row" if config.is_table else "image"
    raise DataError(
        f"dataset {config.name} has {what}s twice",
        given=f"{in_test.count:,} training {what}s are in the test part too, {repeated.count:,} are equal to an "
        f"earlier training {what}: {shown}",
        allowed=f"each {what} once (dataset.duplicates=error)",
        remedy="remove the copies, or give dataset.duplicates=drop to leave them out of training, or warn to keep them",
    )


# ----------------------------------------------------------------------------------------------------------- decoding


def _decode(config: DatasetConfig, inventory: Inventory, folder: Path, progress: Progress) -> dict[str, Any]:
    """Decode into a temporary sibling and rename it to `folder`: it is there whole or not at all."""
    raw = checked(config, sources.read(config, inventory))
    attributes = raw.attributes
    remove_dead_drafts(folder.parent.glob(f"{DRAFT}*"))
    draft = folder.with_name(draft_name(folder.name))
    draft.mkdir(parents=True)
    try:
        facts = _write(config, raw, draft, progress)
        if sources.find(config).fingerprint() != inventory.fingerprint():
            raise DataError(
                f"the files of dataset {config.name} changed while they were read",
                given=str(inventory.root),
                allowed="files that stay as they are",
                remedy="wait until they are complete (copied, unpacked), then start again",
            )
        if attributes.train or attributes.test:  # a source that is read twice could be a large table
            store(attributes, _attributes_folder(folder))
        publish_folder(draft, folder, lambda there: _facts(there) is not None)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return facts


def _write(config: DatasetConfig, raw: RawData, draft: Path, progress: Progress) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(raw.class_names).encode())
    total = len(raw.train.labels) + len(raw.test.labels)
    with progress.bar(f"decoding {config.name}", total=total) as bar:
        for name, part in zip(PARTS, (raw.train, raw.test), strict=True):
            digest.update(f"{name} {len(part.labels)}".encode())
            digest.update(part.labels.astype("<i8").tobytes())
            np.save(draft / f"{name}_labels.npy", part.labels)
            hashes = _write_part(draft / f"{name}_images.npy", part, raw.channels, config.image_size, digest, bar)
            np.save(draft / f"{name}_hashes.npy", hashes)
    facts = {
        "dataset": config.name,
        "source": config.source,
        "digest": digest.hexdigest(),
        "class_names": list(raw.class_names),
        "copies": {kind: [one.count, one.examples] for kind, one in _images(draft).findings(_namer(raw)).items()},
        "remarks": {kind: {"count": len(names), "examples": names[:EXAMPLES]} for kind, names in raw.remarks.items()},
        **({"features": raw.features} if config.is_table else {}),
        "bytes": {path.name: path.stat().st_size for path in draft.iterdir()},
    }
    (draft / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def _namer(raw: RawData) -> Callable[[int], str]:
    """How to call an image by its number in the training part followed by the test part."""
    train = len(raw.train.labels)

    def name(number: int) -> str:
        part, own, called = (raw.train, number, "training") if number < train else (raw.test, number - train, "test")
        return f"{called} {'image' if raw.channels else 'row'} {own}" if part.names is None else part.names[own]

    return name


def _write_part(  # noqa: PLR0917 - a part, where it goes, and what watches it pass
    path: Path, part: RawPart, channels: int | None, image_size: int | None, digest: Any, bar: Bar
) -> Hashes:
    """The samples of a part as an .npy file; all of them enter the digest. Returns the hash of each."""
    if channels is None or image_size is None:
        return _write_rows(path, np.asarray(part.images), digest, bar)
    shape = (len(part.labels), channels, image_size, image_size)
    return _write_images(path, _observed(part.images, digest, bar), shape)


def _write_rows(path: Path, rows: Arrays, digest: Any, bar: Bar) -> Hashes:
    """The rows of a table, float32 [N, D]."""
    digest.update(f"{rows.shape}".encode())
    digest.update(np.ascontiguousarray(rows, dtype="<f4"))
    np.save(path, rows)
    bar.advance(len(rows))
    return np.fromiter((pixel_hash(row.tobytes()) for row in rows), dtype=np.uint64, count=len(rows))


def _observed(images: Iterable[Pixels], digest: Any, bar: Bar) -> Iterator[Pixels]:
    """The same images; each enters the digest as it passes, and the bar moves."""
    for number, image in enumerate(images, start=1):
        digest.update(f"{image.shape}".encode())
        digest.update(image.tobytes())
        yield image
        if number % ADVANCE == 0:
            bar.advance(ADVANCE)


def _write_images(path: Path, images: Iterable[Pixels], shape: tuple[int, int, int, int]) -> Hashes:
    """Images resized to `shape` [N, C, S, S] as an .npy file, one after the other: they need not fit into memory.

    Returns the hash of each. Plain writes rather than a writable memory map, which kills the process where the disk is
    full.
    """
    count, channels, size, _ = shape
    hashes = np.zeros(count, dtype=np.uint64)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for number, image in enumerate(images):
            content = resized(image, size, channels).tobytes()
            hashes[number] = pixel_hash(content)
            file.write(content)
    return hashes


# -------------------------------------------------------------------------------------------------------------- cache


def _facts(folder: Path) -> dict[str, Any] | None:
    """The facts of a complete cache folder; None where it is missing or damaged."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in facts["bytes"].items())
        return facts if whole and facts.keys() >= NEEDED else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None  # a cut or foreign data.json: the images are decoded again


@contextmanager
def _reporting_full_disks(cache: Path) -> Iterator[None]:
    """Name the cache where it cannot be written; source files report their own errors as DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write decoded images to {cache / 'data'}",
            given=f"{type(error).__name__}: {error}",
            allowed="a folder with room that you may write to",
            remedy="make room there, or keep results elsewhere with results=DIR",
        ) from error
