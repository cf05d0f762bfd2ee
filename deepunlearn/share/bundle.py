"""The layout of a bundle, and reading one that nobody vouches for.

A bundle is a zip file without compression: `manifest.json`, then `store/ENTRY/FILE` for each entry in the manifest's
order, ENTRY being the entry's path in a store. The manifest has size and sha256 of every file, who made the bundle, the
configurations of the runs, and `digest`, the sha256 of all that. Without compression no file can be larger than it
says, and what is read is checked in chunks, so that memory does not grow with the bundle.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from deepunlearn.core.errors import ConfigError, StoreError
from deepunlearn.core.identity import Key, canonical_json
from deepunlearn.core.keys import key_in
from deepunlearn.core.validation import Frozen
from deepunlearn.share import content

FORMAT, LAYOUT = "deepunlearn bundle", 1
MANIFEST, STORE = "manifest.json", "store"
CONFIG, META = "config.json", "meta.json"
CHUNK = 1 << 20  # bytes read at a time
LONGEST_NAME = 200  # bytes; file systems allow 255, and the name of a draft is longer
ENTRY_NAME = re.compile(r"(?:seed(\d{1,9})-)?[0-9a-f]{16}")
BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error, OverflowError, OSError)

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # it is shown on terminals
Told = Callable[[int], None]  # is told how many more bytes are done


def _quoted(command: str) -> str:
    """A command that does nothing else when it is typed as it is shown."""
    if shlex.join(shlex.split(command)) != command:
        raise ValueError("a command is not quoted")
    return command


class Member(Frozen):
    bytes: Annotated[int, Field(ge=0)]
    sha256: Hash


class Packed(Frozen):
    """An entry: its path in a store, and its files in their order in the bundle."""

    entry: str
    files: dict[str, Member]

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.files.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """Dataset, architecture, stage, method, and seed and key."""
        return tuple(self.entry.split("/"))


class Run(Frozen):
    """What was asked for: the command of a sweep and its configuration, without anything of the machine."""

    name: Line
    command: Annotated[Line, AfterValidator(_quoted)]
    sweep: dict[str, Any]


class Manifest(Frozen):
    """What a bundle holds, and who made it."""

    format: Literal["deepunlearn bundle"] = "deepunlearn bundle"
    layout: Literal[1] = 1
    version: Line  # of this program
    commit: Line
    machine: Line  # the processor's name
    date: Line
    runs: tuple[Run, ...]
    entries: tuple[Packed, ...]
    digest: str = ""  # of all the rest

    def seal(self) -> str:
        """What `digest` has to be."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json", exclude={"digest"})).encode()).hexdigest()

    def members(self) -> Iterator[tuple[str, Member]]:
        """Each file of each entry by its name in the zip file."""
        for packed in self.entries:
            yield from ((f"{STORE}/{packed.entry}/{name}", member) for name, member in packed.files.items())

    @property
    def bytes(self) -> int:
        return sum(packed.bytes for packed in self.entries)


def refusal(path: Path, why: str) -> StoreError:
    """What is wrong with the bundle in `path`."""
    return StoreError(
        f"the bundle {path} is refused whole",
        given=why,
        allowed=f"a file as `share export` writes it, of layout {LAYOUT}",
        remedy="get the file again and compare its sha256 with the sender's, or have it exported again; "
        "nothing was changed",
    )


def unfit(entry: str, names: list[str]) -> str:
    """Why an entry with files of these names cannot be in a bundle; "" where it can."""
    labels = entry.split("/")
    if len(labels) != 5 or not ENTRY_NAME.fullmatch(labels[-1]):
        return f"{entry!r} is no path of an entry (DATASET/ARCH/STAGE/METHOD/KEY)"
    if bad := [one for one in (*labels, *names) if not _is_name(one)]:
        return f"{bad[0]!r} in {entry!r} is no name of a file or folder"
    if bad := [one for one in names if Path(one).suffix not in content.CHECKS]:
        return f"{bad[0]!r} in {entry!r} is of no kind that a store has ({', '.join(content.CHECKS)})"
    if missing := {CONFIG, META} - set(names):
        return f"{entry!r} has no {' and no '.join(sorted(missing))}"
    return ""


def _is_name(text: str) -> bool:
    plain = text.isprintable() and not set(text) & set("/\\")
    return plain and text == text.strip() and not text.startswith(".") and 0 < len(text.encode()) <= LONGEST_NAME


class _Stretch(NamedTuple):
    """A file of the bundle, for reading; `refuse` says what is wrong with it."""

    file: IO[bytes]
    refuse: Callable[[str], StoreError]


class Bundle:
    """A bundle whose structure and manifest are sound. What is in its files is looked at by `verify`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        """Raises StoreError where it is none, of another layout, or damaged."""
        self.path, self._archive = path, archive
        infos = archive.infolist()
        self._check_structure(infos)
        self.manifest = self._read_manifest()
        self._check_manifest()
        self._check_members(infos)

    def _check_structure(self, infos: list[zipfile.ZipInfo]) -> None:
        """That nothing in the zip file is other than it seems."""
        if self._archive.comment:
            raise refusal(self.path, "it has a comment, which bundles have not")
        for info in infos:
            if wrong := _odd(info):
                raise refusal(self.path, f"its member {info.orig_filename!r} {wrong}")
        names = Counter(info.orig_filename for info in infos)
        if twice := [name for name, count in names.items() if count > 1]:
            raise refusal(self.path, f"its member {twice[0]!r} is there {names[twice[0]]} times")
        declared, size = sum(info.file_size for info in infos), self.path.stat().st_size
        if declared > size:
            raise refusal(self.path, f"its members are said to have {declared:,} bytes, and the file has {size:,}")
        if not infos or infos[0].orig_filename != MANIFEST:
            raise refusal(self.path, f"it does not begin with {MANIFEST}: it is no bundle, or cut off")

    def _read_manifest(self) -> Manifest:
        with self._reading(MANIFEST) as (file, refuse):
            found = content.parsed(file.read(content.LARGEST_JSON + 1), refuse)
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise refuse(f"it is not of format {FORMAT!r}")
            if found.get("layout") != LAYOUT:
                given, by = found.get("layout"), found.get("version")
                raise refuse(f"it is of layout {given!r}, made by version {by!r}; this version reads layout {LAYOUT}")
            try:
                return Manifest.model_validate(found)
            except ValidationError as error:
                first = error.errors()[0]
                raise refuse(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def _check_manifest(self) -> None:
        if self.manifest.digest != self.manifest.seal():
            raise refusal(self.path, f"{MANIFEST} is not what was written: its digest is another")
        if not self.manifest.entries:
            raise refusal(self.path, "it has no entries")
        counts = Counter(one.entry for one in self.manifest.entries)
        if twice := [entry for entry, count in counts.items() if count > 1]:
            raise refusal(self.path, f"its entry {twice[0]!r} is there {counts[twice[0]]} times")
        if wrong := next(filter(None, (unfit(one.entry, list(one.files)) for one in self.manifest.entries)), ""):
            raise refusal(self.path, wrong)

    def _check_members(self, infos: list[zipfile.ZipInfo]) -> None:
        """That the files are those of the manifest, with their sizes."""
        wanted = {name: member.bytes for name, member in self.manifest.members()}
        there = {info.orig_filename: info.file_size for info in infos[1:]}
        if wrong := sorted(wanted.items() ^ there.items()):
            raise refusal(self.path, f"{wrong[0][0]!r} is not as {MANIFEST} has it: missing, added, or of another size")

    def configs(self, stage: str) -> Iterator[tuple[Packed, Key]]:
        """The entries of a stage with their keys."""
        for packed in self.manifest.entries:
            if packed.labels[2] == stage:
                yield packed, self._key(packed)

    def verify(self, packed: Packed, told: Told) -> None:
        """Read all files of an entry: that they are what the manifest and meta.json say, and of their kind."""
        self._key(packed)
        recorded = self._json(packed, META)
        own = {name: member.model_dump() for name, member in packed.files.items() if name != META}
        if not isinstance(recorded, dict) or recorded.get("files") != own:
            raise refusal(self.path, f"{META} of {packed.entry} has other files, sizes or hashes")
        for name, member in packed.files.items():
            for chunk in self.chunks(packed, name):
                told(len(chunk))
            with self._reading(f"{STORE}/{packed.entry}/{name}") as (file, refuse):
                content.CHECKS[Path(name).suffix](file, member.bytes, refuse)

    def chunks(self, packed: Packed, name: str) -> Iterator[bytes]:
        """The content of a file; raises StoreError, after the last chunk, where it is not what was packed."""
        found = hashlib.sha256()
        with self._reading(f"{STORE}/{packed.entry}/{name}") as (file, refuse):
            while chunk := file.read(CHUNK):
                found.update(chunk)
                yield chunk
            if found.hexdigest() != packed.files[name].sha256:
                raise refuse("its content is not what was packed")

    def _key(self, packed: Packed) -> Key:
        """Raises StoreError where it is not the one of the entry's name and place."""
        config = self._json(packed, CONFIG)
        try:
            key = key_in(config, f"{CONFIG} of {packed.entry}")
        except StoreError as error:
            raise refusal(self.path, f"{error.problem} ({error.given})") from error
        if packed.labels[2] != key.stage or packed.labels[4].rpartition("-")[2] != key.short:
            raise refusal(self.path, f"{CONFIG} of {packed.entry} is that of {key.stage} {key.short}")
        return key

    def _json(self, packed: Packed, name: str) -> Any:
        if packed.files[name].bytes > content.LARGEST_JSON:
            raise refusal(self.path, f"{name} of {packed.entry} is larger than any")
        return content.parsed(b"".join(self.chunks(packed, name)), lambda why: refusal(self.path, f"{name}: {why}"))

    @contextmanager
    def _reading(self, name: str) -> Iterator[_Stretch]:
        def refuse(why: str) -> StoreError:
            return refusal(self.path, f"{name}: {why}")

        try:
            with self._archive.open(name) as file:
                yield _Stretch(file, refuse)
        except BROKEN as error:
            raise refuse(f"{type(error).__name__}: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[Bundle]:
    """The bundle in a file. Raises ConfigError where there is no file, StoreError where it is no sound bundle."""
    if not path.is_file():
        raise ConfigError(
            "there is no such bundle",
            given=str(path),
            allowed="a file that `python -m deepunlearn.share export out=FILE` wrote",
            remedy="give the path of the file",
        )
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except BROKEN as error:
            raise refusal(path, f"it is no whole zip file ({error}); it may be cut off") from error
        yield Bundle(path, archive)


def _odd(info: zipfile.ZipInfo) -> str:
    """What no member of a bundle is; "" of others."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    odd = {
        "is encrypted": info.flag_bits & 0x1,
        "is compressed": info.compress_type != zipfile.ZIP_STORED,
        "has two sizes": info.file_size != info.compress_size,
        "is a link or a folder, no plain file": kind not in (0, stat.S_IFREG) or info.orig_filename.endswith("/"),
        "has a path that leads elsewhere": not all(map(_is_name, info.orig_filename.split("/"))),
    }
    return next((words for words, met in odd.items() if met), "")
