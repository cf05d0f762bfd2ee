"""Runs made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deepunlearn.trackers.base import TrackedRun

EVALUATION = TrackedRun(
    key="0123456789abcdef" + 48 * "0",
    kind="evaluation",
    cell="digits/smallnet/random(ratio=0.2)",
    method="ft",
    seed=3,
    params={"params.lr": 0.01, "n_forget": 34, "dataset": "digits", "usable": True},
    scores={"RA": 0.75, "MIA": 0.5},
    curves={"train/loss": [(0, 2.5), (1, 1.25)], "trial/seed0/norm": [(1, 0.5)]},
    files={"row": Path("/somewhere/rows/ft")},
)
SEARCH = replace(EVALUATION, key="f" * 64, kind="search", seed=None, curves={})
MEASURED = replace(EVALUATION, scores={**EVALUATION.scores, "ECE": 0.125})  # the same run, told again with more
