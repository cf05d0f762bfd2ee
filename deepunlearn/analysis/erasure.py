"""Our scores beside those of ERASURE's table 1: persons of CelebA forgotten by a network that tells smiles."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from io import StringIO

import pandas as pd

from deepunlearn.analysis.aggregate import aggregate, result_set_rows
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.errors import ConfigError

DATASET = "celeba"
OURS = {"Time": "seconds", "Acc": "TA", "AUS": "AUS_ERASURE", "RT": "RT", "AIN": "AIN", "UMIA": "UMIA"}
DIGITS = {"Time": ".3f", "Acc": ".3f", "AUS": ".3f", "RT": ".0f", "AIN": ".3f", "UMIA": ".3f"}  # as they print it
BESIDE = {"MIA": ".3f", "RT_steps": ".0f", "RTE": ".2f", "FLOPs_ratio": ".2f", "peak_MB": ".1f"}
"""Our scores that say the same otherwise, and the costs that ERASURE measures and does not print."""
NOT_RUN, NOT_MEASURED, NOT_PUBLISHED = "not run here", "not measured here", "-"


def published() -> pd.DataFrame:
    """Their table, a line per method under our name of it. Time in seconds, on a GPU that the paper does not name."""
    text = (files("deepunlearn.analysis") / "published" / "erasure.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text))


def of_persons(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of CelebA whose forget set is not a random one. Raises ConfigError where there are none."""
    found = rows[(rows["dataset"] == DATASET) & (rows["forget_kind"] != "random")]
    if found.empty:
        cells = rows[["dataset", "forget_title"]].drop_duplicates()
        raise ConfigError(
            "compare=erasure puts results beside those of ERASURE, which forgets persons of CelebA",
            given=", ".join(f"{one.dataset} ({one.forget_title})" for one in cells.itertuples()) or "no rows",
            allowed=f"results of dataset={DATASET} with persons to forget",
            remedy="run sweep=erasure, or leave compare= out",
        )
    return found


def against_erasure(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> Iterator[Table]:
    """A table for each result set on persons of CelebA. frame, cases: as in `Records`."""
    cells = set(of_persons(frame)["cell"])
    lines, rows = aggregate(frame, cases), result_set_rows(frame, cases)
    chosen = lines[lines["cell"].isin(cells) & (lines["result_set"] != "")]
    sets = [(str(name), own) for name, own in chosen.groupby("result_set")]
    for number, (name, own) in enumerate(sets):
        suffix = f"-{number + 1}" if len(sets) > 1 else ""
        yield _beside(own, rows[rows["result_set"] == name], f"erasure{suffix}", remark)


def _beside(lines: pd.DataFrame, rows: pd.DataFrame, name: str, remark: str) -> Table:
    theirs, ours = published(), lines.set_index("method")
    own = [method for method in ours.index if method not in set(theirs["method"])]
    shown = pd.DataFrame({"method": [*theirs["title"], *(ours.loc[own, "method_title"])]})
    data = pd.DataFrame({"method": [*theirs["method"], *own]})
    for title, column in OURS.items():
        data[f"{title}_ERASURE"] = [*theirs[title], *[float("nan")] * len(own)]
        data[title] = [_mean(ours, method, column) for method in data["method"]]
        shown[f"{title} ERASURE"] = [_number(value, title, NOT_PUBLISHED) for value in data[f"{title}_ERASURE"]]
        shown[title] = [
            _number(value, title, _why_not(ours, method))
            for method, value in data[["method", title]].to_numpy().tolist()
        ]
    for column, digits in BESIDE.items():
        data[column] = [_mean(ours, method, column) for method in data["method"]]
        shown[column] = [
            _why_not(ours, method) if pd.isna(value) else f"{value:{digits}}"
            for method, value in data[["method", column]].to_numpy().tolist()
        ]
    caption = (
        f"{remark}ERASURE's table 1 (columns named so) beside our means over usable models. Time: seconds of "
        "unlearning, of training for the Gold Model, which is our retrained one; on other machines, so that only "
        "ratios within a column compare. Acc: accuracy on the test part. AUS, AIN, UMIA: by their definitions. RT: in "
        "epochs, but of a copy, with one optimiser for all methods and accuracies in evaluation mode "
        "(docs/measures.md). Ours alone: MIA, our loss attack, fitted on nine tenths of the samples, UMIA on a fifth; "
        "RT_steps, which tells what 0 and 1 epochs hide; RTE, FLOPs_ratio (retraining / unlearning) and peak_MB, which "
        f"they do not print. {NOT_MEASURED}: give a sweep measures=[erasure], or have deepunlearn.measure compute it "
        f"afterwards. NegGrad is held against GA. {caption_text(describe(rows))}"
    )
    return Table(name, "Against ERASURE", caption, data, shown)


def _mean(ours: pd.DataFrame, method: str, column: str) -> float:
    known = method in ours.index and f"{column}_mean" in ours and not (method == "original" and column == "seconds")
    return float(ours[f"{column}_mean"].loc[method]) if known else float("nan")


def _why_not(ours: pd.DataFrame, method: str) -> str:
    if method not in ours.index:
        return NOT_RUN
    status = str(ours.loc[method, "status"])
    return NOT_MEASURED if method in REFERENCES or not status else status


def _number(value: float, title: str, missing: str) -> str:
    return missing if pd.isna(value) else f"{value:{DIGITS[title]}}"
