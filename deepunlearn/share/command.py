"""What `python -m deepunlearn.share` does: export, import, show."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepunlearn.analysis.options import parse_options
from deepunlearn.cli import table, wants_help
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import Store
from deepunlearn.share import packing, summary, taking
from deepunlearn.share.bundle import Told, reading

ACTIONS_USAGE = """\
usage: python -m deepunlearn.share export out=FILE [results=DIR] [methods=NAME,...] [dataset=...] [arch=...]
       python -m deepunlearn.share import FILE [results=DIR]
       python -m deepunlearn.share show FILE"""
USAGE = f"""{ACTIONS_USAGE}

Packs what a store has of original, retrained and unlearned models, with their outputs, splits, searches, scores and
rows, into one file, and puts such a file into another store, where all of it counts as done: a second lab adds one
method, and its sweep trains and unlearns nothing but that.
  python -m deepunlearn.share export out=ours.zip plan=true      what would be packed, and how large it is
  python -m deepunlearn.share export out=ours.zip methods=ft,ct  originals, retrained models, and these methods
  python -m deepunlearn.share export out=refs.zip methods=none   originals and retrained models alone
  python -m deepunlearn.share show ours.zip                      who made it, of which data, methods and seeds
  python -m deepunlearn.share import ours.zip plan=true          verify it and say what the store lacks
Then the sender's sweep command with method=YOURS added (import prints it): plan=true shows that only yours is to do.

A file that is cut off, altered or no such bundle is refused whole, and so is one with an entry that the store has with
another content: nothing is changed then. An import that was stopped is gone on with by the same command. No data, no
paths of this machine and no notes of failures are packed. docs/sharing.md says more."""
_WORDS = {
    "out=FILE": "the file to write; it must not be there yet",
    "results=results": "the folder whose store is read or added to",
    "methods=, dataset=, arch=": "only these (a,b); methods=none: references alone",
    "plan=true": "say what would be done, and stop",
}
NOTHING = "none"  # as methods=
NAME = re.compile(r"[\w.+-]+")

Options = dict[str, str | bool]
ACTIONS: dict[str, Options] = {  # -> their options with defaults
    "export": {"out": "", "results": "results", **dict.fromkeys(packing.AXES, ""), "plan": False},
    "import": {"results": "results", "plan": False},
    "show": {},
}


class Asked(NamedTuple):
    """file: the bundle that is written or read; chosen: by axis the names that alone are packed."""

    action: str
    file: Path
    results: Results
    chosen: dict[str, list[str]]
    plan: bool


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(f"{USAGE}\n\n{table('options', _WORDS)}")
        return 0
    if not arguments:
        print(f"{ACTIONS_USAGE}\n--help says what they do, with examples", file=sys.stderr)
        return ConfigError.exit_code
    asked = read(arguments)
    if asked.action == "export":
        return _export(asked)
    return _show(asked) if asked.action == "show" else _import(asked)


def read(arguments: Sequence[str]) -> Asked:
    """What a command of one word or more asks for. Raises ConfigError for an unknown action, option or name.

    No file is looked at.
    """
    action, *rest = arguments
    if action not in ACTIONS:
        raise unknown("action", action, ACTIONS, remedy="begin with one of them; --help has examples")
    file, options = _written(rest) if action == "export" else _bundle(action, rest)
    results = Results(Path(str(options.get("results", "results"))))
    return Asked(action, file, results, _chosen(options), bool(options.get("plan")))


def _export(asked: Asked) -> int:
    results, out = asked.results, asked.file
    packing.check_out(out)
    found = packing.stock(results, asked.chosen)
    store = Store(results.store)
    references = [one for one in found.manifest.entries if one.labels[2] == "reference"]
    print(summary.of_manifest(found.manifest, [(one, store.open(store.root / one.entry).key) for one in references]))
    for line in found.left_out:
        print(f"left out: {line}")
    packing.check_room(out.parent, found.manifest.bytes)
    if asked.plan:
        return 0
    with _counted("packing", found.manifest.bytes) as told:
        sha256 = packing.write(found, results, out, told)
    print(f"\nwritten to {out}: {out.stat().st_size / 1e6:,.1f} MB, sha256 {sha256}")
    return 0


def _import(asked: Asked) -> int:
    results = asked.results
    packing.check_room(results.store, 0)
    with reading(asked.file) as bundle:
        with _counted("verifying", bundle.manifest.bytes) as told:
            new, had = taking.sort(bundle, results, told)
        print(summary.of_manifest(bundle.manifest, bundle.configs("reference")))
        size = sum(packed.bytes for packed in new)
        print(f"\n{len(new):,} entries are new ({size / 1e6:,.1f} MB), {len(had):,} are in the store already")
        packing.check_room(results.store, size)
        if asked.plan:
            return 0
        if removed := Store(results.store).clean():
            print(f"removed {removed} unfinished results of processes that were killed")
        with _counted("copying", size) as told:
            taking.take(bundle, new, results, told)
        print(f"taken into {results.store}\n{summary.next_steps(bundle.manifest, results.root)}")
    return 0


def _show(asked: Asked) -> int:
    with reading(asked.file) as bundle:
        print(summary.of_manifest(bundle.manifest, list(bundle.configs("reference"))))
        print("\nits list of files is sound; import reads and verifies their contents as well")
    return 0


def _written(arguments: Sequence[str]) -> tuple[Path, Options]:
    """The file that an export writes, and its options."""
    options = parse_options(arguments, ACTIONS["export"])
    if not options["out"]:
        raise ConfigError(
            "it is not said which file to write",
            given="no out=",
            allowed="out=FILE",
            remedy="give out=FILE, e.g. out=results.zip",
        )
    return Path(str(options["out"])).absolute(), options


def _bundle(action: str, arguments: Sequence[str]) -> tuple[Path, Options]:
    """The bundle that another action is about, and its options."""
    defaults = ACTIONS[action]
    files = [one for one in arguments if one.partition("=")[0] not in defaults]
    if len(files) != 1:
        raise ConfigError(
            f"{action} takes one bundle",
            given=" ".join(files) or "no file",
            allowed=f"{action} FILE" + "".join(f" [{name}=...]" for name in defaults),
            remedy=f"give one file: python -m deepunlearn.share {action} FILE",
        )
    return Path(files[0]), parse_options([one for one in arguments if one not in files], defaults)


def _chosen(options: Options) -> dict[str, list[str]]:
    """By axis the names that are given."""
    given = {axis: str(options[axis]) for axis in packing.AXES if options.get(axis)}
    return {axis: _names(axis, value) for axis, value in given.items()}


def _names(axis: str, value: str) -> list[str]:
    if axis == "methods" and value == NOTHING:
        return []
    names = [name.strip() for name in value.removeprefix("[").removesuffix("]").split(",")]
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise ConfigError(
            f"{axis}= is given something that is no name",
            given=f"{axis}={value}: {wrong[0]!r}",
            allowed="names with commas between them" + (f", or {NOTHING}" if axis == "methods" else ""),
            remedy=f"give e.g. {axis}=a,b",
        )
    return list(dict.fromkeys(names))


@contextmanager
def _counted(label: str, size: int) -> Iterator[Told]:
    """A bar over megabytes, told of bytes."""
    done = 0
    with Progress().bar(f"{label} (MB)", size // 10**6) as bar:

        def told(more: int) -> None:
            nonlocal done
            done += more
            bar.advance(done // 10**6 - bar.done)

        yield told
