"""A bundle in words: who made it, of which data, methods and seeds, and how large it is."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from deepunlearn.cli import table
from deepunlearn.core.identity import Key
from deepunlearn.core.keys import ReferenceKey, SplitKey
from deepunlearn.share.bundle import ENTRY_NAME, Manifest, Packed

MODELS = ("reference", "unlearned")
DIGITS = 16  # of a digest, as in paths


def of_manifest(manifest: Manifest, references: Iterable[tuple[Packed, Key]]) -> str:
    """Who made it, what is in it, and the commands that made that. references: those entries with their keys."""
    made = {
        "made by": f"deepunlearn {manifest.version} ({manifest.commit}) on {manifest.machine}, {manifest.date}",
        "digest": manifest.digest,
        "size": f"{manifest.bytes / 1e6:,.1f} MB in {len(manifest.entries):,} entries",
    }
    parts = [table("bundle", made)]
    parts += [table(title, rows) for title, rows in _cells(manifest.entries, references)]
    parts.append(table("what there is", by_stage(manifest.entries)))
    commands = {run.name: run.command for run in manifest.runs}
    parts.append(table("runs on this store" if commands else "runs on this store\n  (none)", commands))
    return "\n\n".join(parts)


def by_stage(entries: Iterable[Packed]) -> dict[str, str]:
    """Stage -> how many entries of it, and their size."""
    sizes = defaultdict(list)
    for packed in entries:
        sizes[packed.labels[2]].append(packed.bytes)
    return {stage: f"{len(own):>6,}  {sum(own) / 1e6:>10,.1f} MB" for stage, own in sorted(sizes.items())}


def _cells(entries: Iterable[Packed], references: Iterable[tuple[Packed, Key]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Of each dataset and architecture: its data and forget sets, and the seeds of the models of each method."""
    seeds: dict[tuple[str, ...], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for packed in entries:
        dataset, arch, stage, method, name = packed.labels
        found = ENTRY_NAME.fullmatch(name)
        if stage in MODELS and found and found[1]:
            seeds[dataset, arch][method].add(int(found[1]))
    data: dict[tuple[str, ...], list[str]] = defaultdict(list)
    forget: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for packed, key in references:
        if isinstance(key, ReferenceKey):
            data[packed.labels[:2]].append(key.split.data_digest[:DIGITS])
            if key.role == "retrained":  # the split that names an original may be of no forget set here
                forget[packed.labels[:2]].append(_forget(key.split))
    for place in sorted(seeds):
        known = {"data": _joined(data[place]), "forget": _joined(forget[place])}
        models = {name: f"seeds {', '.join(map(str, sorted(own)))}" for name, own in sorted(seeds[place].items())}
        yield "/".join(place), {**known, **models}


def _joined(names: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(names)) or "(no reference says)"


def _forget(key: SplitKey) -> str:
    """Its kind with what tells it from others of this kind, digests cut short."""
    values = {"ratio": key.forget_ratio, **(key.forget_values or {})}
    told = (f"{name}={_short(value)}" for name, value in values.items() if value is not None)
    return f"{_short(key.forget)}({', '.join(told)})".removesuffix("()")


def _short(value: object) -> str:
    text = str(value)
    text = "".join(one if one.isprintable() else "?" for one in text)  # of others, and shown on a terminal
    return text if len(text) <= 3 * DIGITS else f"{text[:DIGITS]}..."


def next_steps(manifest: Manifest, results: Path) -> str:
    """What to type to add a method of one's own to what was imported."""
    sweeps = dict.fromkeys(run.command for run in manifest.runs if ".measure" not in run.command)
    where = f" results={shlex.quote(str(results))}"
    lines = [f"  {command}{where}" for command in sweeps or ["python -m deepunlearn.sweep ..."]]
    told = "next: the command that made these, with method=YOURS added to its methods; what is stored counts as done"
    return "\n".join([told, *lines])
