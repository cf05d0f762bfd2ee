"""From a store to a bundle: which entries are packed, as they are under their keys, and the file itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from deepunlearn import __version__
from deepunlearn.core.errors import ConfigError, StoreError, unknown
from deepunlearn.core.paths import Results, sync_contents, sync_folder
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.store import DRAFT, Store, draft_name, now, remove_dead_drafts
from deepunlearn.share.bundle import CHUNK, CONFIG, MANIFEST, META, STORE, Manifest, Member, Packed, Run, Told, unfit
from deepunlearn.share.privacy import folders_named, paths_in, public_command, public_settings

REFERENCES = ("original", "retrained")
LEARNING = ("record", "slices")  # stages of what methods of the learning phase need, named after that and no method
ALWAYS = ("split", "confidence", "memorisation")  # stages that no single method has made
AXES = {"dataset": 0, "arch": 1, "methods": 3}  # by which is chosen -> the folder in an entry's path
PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # zip files know none before; when a file was copied is nobody's business
LARGE = 1 << 31  # bytes from which on a member needs the larger header

Chosen = Mapping[str, Sequence[str]]  # axis -> names; an axis that is not there leaves all in


class Stock(NamedTuple):
    """What is going to be packed, and in words what is not, and why."""

    manifest: Manifest
    left_out: list[str]


def stock(results: Results, chosen: Chosen) -> Stock:
    """Look through a store. Raises ConfigError where nothing is there or chosen, StoreError for a damaged entry."""
    store = Store(results.store)
    paths = store.entries()
    if not paths:
        raise ConfigError(
            "nothing is stored that could be shared",
            given=f"results={results.root}",
            allowed="a folder that a sweep was run with",
            remedy="give results=DIR, the same as to the sweep",
        )
    runs, named, left_out = _asked(results)
    private = named | {Path.home(), Path.cwd(), results.root.resolve()}
    entries = []
    for path in _chosen(store, paths, chosen, runs):
        packed = _packed(store, path)
        why = unfit(packed.entry, list(packed.files)) or _told(folders_named(path, private))
        if why:
            left_out.append(f"{packed.entry}: {why}")
        else:
            entries.append(packed)
    if not entries:
        raise ConfigError(
            "nothing of what is stored is to be packed",
            given="; ".join([*(f"{axis}={','.join(names)}" for axis, names in chosen.items()), *left_out]),
            allowed="a choice that at least one entry meets",
            remedy="choose less strictly with methods=, dataset= and arch=",
        )
    entries.sort(key=lambda packed: (packed.files[CONFIG].bytes, packed.entry))  # a key is longer than those in it
    made = {"version": __version__, "commit": commit(), "machine": machine(), "date": now()}
    manifest = Manifest(**made, runs=tuple(runs), entries=tuple(entries))
    return Stock(manifest.model_copy(update={"digest": manifest.seal()}), left_out)


def write(found: Stock, results: Results, out: Path, told: Told) -> str:
    """Write the bundle and return the sha256 of the file: it appears whole or not at all.

    Raises StoreError where an entry is damaged.
    """
    remove_dead_drafts(path for path in out.parent.iterdir() if path.name.startswith(f"{DRAFT}{out.name}-"))
    draft = out.parent / draft_name(out.name)
    draft.mkdir()
    try:
        with zipfile.ZipFile(draft / out.name, "x") as archive:
            text = json.dumps(found.manifest.model_dump(mode="json"), ensure_ascii=False).encode()
            with _opened(archive, MANIFEST, len(text)) as target:
                target.write(text)
            for name, member in found.manifest.members():
                _copy(archive, results.store / name.removeprefix(f"{STORE}/"), name, member, told)
        sync_contents(draft)
        check_out(out)
        (draft / out.name).rename(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    with out.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_out(out: Path) -> None:
    """Raises ConfigError where no file can be made there."""
    if os.path.lexists(out):
        raise ConfigError(
            "out= is there already, and nothing is ever overwritten",
            given=f"out={out}",
            allowed="the path of a new file",
            remedy="give another name, or move that file away",
        )
    if not out.parent.is_dir():
        raise ConfigError(
            "the folder of out= is not there",
            given=f"out={out}",
            allowed="a file in a folder that exists",
            remedy=f"make the folder first: mkdir -p {out.parent}",
        )


def check_room(folder: Path, needed: int) -> None:
    """Raises ConfigError where `folder` cannot be made or written, or its disk has no room for so many bytes."""
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(
            f"nothing can be written to {folder}",
            given=f"{there} {'cannot be written' if there.is_dir() else 'is no folder'}",
            allowed="a folder of yours, or one that can be made",
            remedy="give another folder, or have its owner let you write there",
        )
    free = shutil.disk_usage(there).free
    if free < needed:
        raise ConfigError(
            f"there is no room in {there}",
            given=f"{needed / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free",
            allowed="a disk with room for all of it",
            remedy="make room, or choose another folder or fewer entries (methods=, dataset=, arch=)",
        )


def _copy(archive: zipfile.ZipFile, path: Path, name: str, member: Member, told: Told) -> None:
    found = hashlib.sha256()
    with path.open("rb") as source, _opened(archive, name, member.bytes) as target:
        while chunk := source.read(CHUNK):
            found.update(chunk)
            target.write(chunk)
            told(len(chunk))
    if found.hexdigest() != member.sha256:
        raise StoreError(
            f"the stored result {path} is damaged",
            given="its content is not what was written",
            allowed="files as they were written",
            remedy=f"move {path.parent} out of the store to have it computed again; nothing was exported",
        )


def _opened(archive: zipfile.ZipFile, name: str, size: int) -> IO[bytes]:
    info = zipfile.ZipInfo(name, FIRST_DAY)
    info.external_attr = PLAIN_FILE
    return archive.open(info, "w", force_zip64=size >= LARGE)


def _packed(store: Store, path: Path) -> Packed:
    """An entry with the sizes and hashes that were recorded when it was made; `write` holds them against the files."""
    recorded = {name: Member(**facts) for name, facts in store.open(path).meta["files"].items()}
    text = (path / META).read_bytes()
    own = Member(bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    rest = {name: member for name, member in recorded.items() if name != CONFIG}
    files = {CONFIG: recorded[CONFIG], META: own, **rest}
    return Packed(entry=path.relative_to(store.root).as_posix(), files=files)


def _told(named: Sequence[str]) -> str:
    return f"it names a folder or file of this machine, {named[0]}" if named else ""


def _chosen(store: Store, paths: Iterable[Path], chosen: Chosen, runs: Sequence[Run]) -> Iterator[Path]:
    labels = {path: path.relative_to(store.root).parts for path in paths}
    for axis, names in chosen.items():
        stored = {one[AXES[axis]] for one in labels.values() if axis != "methods" or one[2] == "unlearned"}
        for name in names:
            if name not in stored:
                raise unknown(f"{axis} among what is stored in {store.root}:", name, stored)
    needs = _needs(chosen.get("methods", ()), runs)
    yield from (path for path, own in labels.items() if _is_chosen(own, chosen, needs))


def _is_chosen(labels: Sequence[str], chosen: Chosen, needs: set[str]) -> bool:
    dataset, arch, stage, method = labels[:4]
    if dataset not in chosen.get("dataset", [dataset]) or arch not in chosen.get("arch", [arch]):
        return False
    if "methods" not in chosen or stage in ALWAYS or method in REFERENCES:
        return True
    return method in (needs if stage in LEARNING else chosen["methods"])


def _needs(methods: Sequence[str], runs: Sequence[Run]) -> set[str]:
    """What these methods need to be recorded of a training, as the runs' configurations say."""
    known = (one for run in runs for one in run.sweep.get("methods", []))
    return {one["needs"] for one in known if one["name"] in methods and one.get("needs")}


class _Asked(NamedTuple):
    """What the commands of a store asked for, the paths that they named, and in words which of them cannot be read."""

    runs: list[Run]
    paths: set[Path]
    left_out: list[str]


def _asked(results: Results) -> _Asked:
    """Of the runs on this store, and of those whose results were imported."""
    found = _Asked([], set(), [])
    for path in sorted(results.runs.glob("*/sweep.json")):
        try:
            sweep = json.loads(path.read_text(encoding="utf-8"))
            command = public_command((path.parent / "command.txt").read_text(encoding="utf-8"))
            found.runs.append(Run(name=path.parent.name, command=command, sweep=public_settings(sweep)))
            found.paths.update(paths_in(sweep))
        except (OSError, ValueError, AttributeError) as error:
            found.left_out.append(f"the configuration of run {path.parent.name} cannot be read: {error}")
    for path in sorted(results.imported.glob("*.json")):
        try:
            of_others = Manifest.model_validate_json(path.read_text(encoding="utf-8")).runs
            found.runs.extend(run for run in of_others if run not in found.runs)
        except (OSError, ValueError) as error:
            found.left_out.append(f"the configurations of the bundle {path.stem} cannot be read: {error}")
    return found
