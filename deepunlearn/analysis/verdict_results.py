"""What the models of U-LiRA's design say beside attacks: KLoM, the forgetting score, memorisation; their table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from deepunlearn.analysis import ulira_results
from deepunlearn.analysis.provenance import caption_text
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, read_json
from deepunlearn.analysis.ulira_results import SET, facts, told_apart
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT

VALUES = ("value", "low", "high", "chance", "chance_low", "chance_high")
OF_MODELS = ("cell", "result_set", "dataset", "dataset_title", "arch", "arch_title", "method", "method_title", "search")
COUNTS = ("halvings", "parts", "models", "pool", "n_forget", "train_epochs")
DTYPES: dict[str, str] = {
    **dict.fromkeys((*OF_MODELS, "verdict", "samples"), "string"),
    **dict.fromkeys(COUNTS, "int64"),
    "limit": "Int64",
    "seconds": "float64",
    **dict.fromkeys(VALUES, "float64"),
    "largest_epsilon": "Int64",
    **dict.fromkeys(("reason", "machine", "device", "torch", "commit", "date"), "string"),
    "verdict_version": "Int64",
}
SAMPLES = {"forgotten": "forgotten", "retained": "retained", "never": "never seen"}
DIGITS = {"KLoM, mean": 2, "KLoM, 95th percentile": 2}  # after the point; 3 of all others
LEGEND = (
    "KLoM: KL(unlearned || retrained) in nats of the histograms of a sample's margin log p / (1 - p) over models (20 "
    "bins), mean and 95th percentile over samples; 0 is best. Forgetting score (NeurIPS 2023): mean over samples of "
    "2^-floor(2 epsilon), epsilon the most that an attack on a sample's unlearned and retrained models bears out; 1 is "
    "best; x RA x TA: times the accuracies, as ratios to the retrained models', on samples that were kept and on those "
    "that the halving held out (taken as fixed). Memorisation: accuracy on samples that models forgot (originals: "
    "were trained on) less that on samples they never saw; 0 is best. In brackets 95 % intervals over pairs of "
    "halvings, for so many models. by chance: what so few models give where unlearned and retrained ones do not "
    "differ: the mean, and the ends that 5 % pass on either side. Neither KLoM's nor the score's best value can be "
    "reached with few models: hold them against chance."
)


def collect(results: Path) -> list[dict[str, Any]]:
    """The lines of all stored verdicts. Raises StoreError naming a file that cannot be read."""
    lines: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])
    paths = sorted(Results(results).store.glob("*/*/verdicts/*/*/verdicts.json"))
    return [line for path in paths if not path.parent.name.startswith(DRAFT) for line in read_json(path, lines)]


def current(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Of each design, result set, method and verdict the one on the latest models, references first."""
    latest = verdicts.sort_values(["date", "verdict_version"], kind="stable").drop_duplicates(
        [*SET, "result_set", "method", "verdict", "samples"], keep="last"
    )
    latest = told_apart(latest)
    first = ~latest["method"].isin(REFERENCES)
    return latest.assign(first=first, by=latest["method_title"].str.casefold()).sort_values(
        [*SET, "first", "by"], kind="stable"
    )[list(verdicts)].reset_index(drop=True)  # fmt: skip


def designs(verdicts: pd.DataFrame, attacks: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name, as of the design's table of attacks, and lines."""
    names = {tuple(lines[SET].iloc[0]): name for name, lines in ulira_results.designs(attacks)}
    for design, lines in current(verdicts).groupby(SET):
        if design in names:
            yield names[design], lines


def verdict_tables(verdicts: pd.DataFrame, attacks: pd.DataFrame, remark: str) -> list[Table]:
    """One per design; as `Records.verdicts` and `Records.attacks`."""
    return [_table(f"{name}-verdicts", lines, remark) for name, lines in designs(verdicts, attacks)]


def _table(name: str, lines: pd.DataFrame, remark: str) -> Table:
    title = (
        f"{lines['dataset_title'].iloc[0]}, {lines['arch_title'].iloc[0]}: verdicts of the same models (U-LiRA: more)"
    )
    caption = f"{remark}{LEGEND} {caption_text(facts(lines))}"
    return Table(name, title, caption, lines, formatted(lines), group=name)


def formatted(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of verdicts for people."""
    return pd.DataFrame(
        {
            "method": lines["method_title"],
            "verdict": lines["verdict"],
            "samples": lines["samples"].map(SAMPLES),
            "value": [_value(line) for line in lines.to_dict("records")],
            "by chance": [_chance(line) for line in lines.to_dict("records")],
            "models": lines["models"].astype(str),
            "largest epsilon": lines["largest_epsilon"].astype("string").fillna(""),
            "remark": lines["reason"].fillna(""),
        }
    ).astype(str)


def _value(line: dict[Any, Any]) -> str:
    """The value with its interval; its place is taken by what is needed where that is lacking."""
    if pd.isna(line["value"]):
        return str(line["reason"])
    digits = DIGITS.get(line["verdict"], 3)
    interval = "" if pd.isna(line["low"]) else f" [{line['low']:.{digits}f}, {line['high']:.{digits}f}]"
    return f"{line['value']:.{digits}f}{interval}"


def _chance(line: dict[Any, Any]) -> str:
    if pd.isna(line["chance"]):
        return ""
    digits = DIGITS.get(line["verdict"], 3)
    return f"{line['chance']:.{digits}f} ({line['chance_low']:.{digits}f} to {line['chance_high']:.{digits}f})"
