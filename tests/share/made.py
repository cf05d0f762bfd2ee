"""A small store without any training, and bundles of it that somebody has altered."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from deepunlearn.cli import run_main
from deepunlearn.core.identity import Key, canonical_json
from deepunlearn.core.keys import GivenKey, MetricsKey, RowKey, UnlearnedKey
from deepunlearn.core.paths import Results
from deepunlearn.core.store import Batch, FailureNote, Failures, Place, Store, now
from deepunlearn.share.bundle import MANIFEST
from deepunlearn.share.command import main
from tests.keys import SPLIT, reference

METHODS, SEEDS = ("ft", "ga"), (0, 1)
Members = dict[str, bytes]
COMMAND = (
    "python -m deepunlearn.sweep method=ft,ga dataset.root=/data/private results=/home/me/r 'forget.file=~/ids.csv'"
)


def share(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run_main(main, [str(one) for one in arguments])
    return code, out.getvalue(), err.getvalue()


def weights(values: int) -> bytes:
    """A safetensors file with one tensor."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    return len(header).to_bytes(8, "little") + header + np.arange(values, dtype="<f4").tobytes()


def small_store(root: Path, size: int = 50) -> Results:
    """Two methods, two seeds, a run, a note of a failure and a draft; the first file of weights has `size` values."""
    results = Results(root)
    batch = Batch(Store(results.store))
    for key, place in keys():
        with batch.writing(key, place, {"seconds": 1.5, "machine": "a processor"}) as draft:
            draft.write_json("values.json", {"stage": key.stage, "accuracy": 0.5})
            draft.write_arrays("logits.npz", forget=np.ones((4, 3), np.float32), labels=np.arange(4))
            (draft.path / "weights.safetensors").write_bytes(weights(size))
            (draft.path / "trials.csv").write_text("seed,loss\n0,0.5\n")
        size = 50
    batch.publish()
    run = results.runs / "sweep-0123abcd"
    run.mkdir(parents=True)
    sweep = {
        "cells": [{"dataset": {"name": "digits", "root": "/data/private", "title": "1/2 of it"}}],
        "methods": [{"name": "ft", "needs": None}, {"name": "ga", "needs": None}],
        "search": {"storage": "postgresql://me:secret@host/db", "trials": 3},
        "launcher": {"account": "secret"},
        "results": "/home/me/r",
    }
    (run / "sweep.json").write_text(json.dumps(sweep))
    (run / "command.txt").write_text(COMMAND + "\n")
    note = FailureNote(
        "evaluate", "digits", "resnet18", "msg", 0, "c", None, "failed", "E", "m", "Traceback in /home/me", now()
    )
    Failures(results.store).record(Place("digits", "resnet18", "msg", 0), "evaluate-msg", note)
    (results.store / "digits" / "resnet18" / "unlearned" / "ft" / ".draft-seed9-x-nohost-1-2").mkdir()
    return results


def keys() -> list[tuple[Key, Place]]:
    found: list[tuple[Key, Place]] = [(SPLIT, Place("digits", "resnet18"))]
    for seed in SEEDS:
        original, retrained = reference(seed=seed), reference(seed=seed, role="retrained")
        unlearned = [UnlearnedKey(original=original, method=one, method_version=1, params={"lr": 0.1, "epochs": 3})
                     for one in METHODS]  # fmt: skip
        for name, model in [("original", original), ("retrained", retrained), *zip(METHODS, unlearned, strict=True)]:
            metrics = MetricsKey(subject=model, retrained=retrained, version=2)
            row = RowKey(metrics=metrics, search=GivenKey(protocol="paper", source="default"))
            found += [(key, Place("digits", "resnet18", name, seed)) for key in (model, metrics, row)]
    return found


def members(bundle: Path) -> Members:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, content: Iterable[tuple[str | zipfile.ZipInfo, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return path


def altered(bundle: Path, path: Path, alter: Callable[[Members], object], *, reseal: bool) -> Path:
    """A copy of a bundle with other members. reseal: its manifest is made to fit, as one who forges a bundle would."""
    content = members(bundle)
    alter(content)
    if reseal:
        seal(content)
    return zipped(path, content.items())


def seal(content: Members) -> None:
    """Make sizes and hashes in the manifest, and its digest, those of the members."""
    listed = json.loads(content[MANIFEST])
    for packed in listed["entries"]:
        for name, facts in packed["files"].items():
            data = content[f"store/{packed['entry']}/{name}"]
            facts.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    rest = {name: value for name, value in listed.items() if name != "digest"}
    listed["digest"] = hashlib.sha256(canonical_json(rest).encode()).hexdigest()
    content[MANIFEST] = json.dumps(listed).encode()
