"""The per-sample attack (U-LiRA, protocol section 8) from what the store has of it: its table and figure's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from deepunlearn.analysis.provenance import caption_text, values_of
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, read_json
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT

ESTIMATES = ("accuracy", "balanced", "auc", "tpr_at_1_in_1000", "tpr_at_1_in_100")
DTYPES: dict[str, str] = {
    **dict.fromkeys(("cell", "result_set", "dataset", "dataset_title", "arch", "arch_title"), "string"),
    **dict.fromkeys(("method", "method_title", "search", "question", "variant"), "string"),
    **dict.fromkeys(("halvings", "parts", "models", "pool", "n_forget", "train_epochs"), "int64"),
    "limit": "Int64",
    "seconds": "float64",
    **dict.fromkeys(("samples", "left_out"), "int64"),
    **{f"{name}{end}": "float64" for name in ESTIMATES for end in ("", "_low", "_high")},
    **dict.fromkeys(("accuracy_sd", "sure", "sure_never"), "float64"),
    **dict.fromkeys(("equal_decisions", "correlation", "accuracy_difference", "auc_difference"), "float64"),
    **dict.fromkeys(("machine", "device", "torch", "commit", "date"), "string"),
    "attack_version": "Int64",
}
TITLES = {"rmia": "RMIA", "iam": "IAM", "ruli": "RULI"}  # of attacks that are not U-LiRA's
SET = ["cell", "halvings", "parts"]
LEGEND = (
    "U-LiRA: for each sample, how well an attacker who knows how such models behave tells a model that unlearned it "
    "from one that never saw it. accuracy: mean over samples of the two classes' rates of right decisions (0.5 is "
    "chance; the retrained models show where it lies in a design of this size), ± its standard deviation over "
    "samples; in brackets 95 % intervals over pairs of halvings. AUC, TPR at 0.1 % and 1 % FPR: pooled over "
    "samples and models. p > 0.5: share of samples whose label has more than half of the probability; where it is low "
    "the network is broken, and an attack at chance no success. retained: the same attack on samples that were to "
    "stay. cheap: Gaussians with pooled variance from few halvings, and its agreement with the full attack."
)
BESIDE = (
    " RMIA, IAM, RULI: other attacks from the same models; the first two order samples and have no threshold, hence no "
    "accuracy."
)  # where there are lines of them
FACTS = {
    "dataset": "dataset_title", "arch": "arch_title", "halvings": "halvings", "forget sets per halving": "parts",
    "samples in the pool": "pool", "forget set": "n_forget", "epochs": "train_epochs", "limit": "limit",
    "search": "search", "machine": "machine", "device": "device", "torch": "torch", "commit": "commit",
}  # fmt: skip

_LINES: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])


def collect(results: Path) -> list[dict[str, Any]]:
    """The lines of all stored attacks. Raises StoreError naming a file that cannot be read."""
    paths = sorted(Results(results).store.glob("*/*/attacks/*/*/attack.json"))
    return [line for path in paths if not path.parent.name.startswith(DRAFT) for line in read_json(path, _LINES)]


def current(attacks: pd.DataFrame) -> pd.DataFrame:
    """Of each design, result set, method, question and variant the attack on the latest models, references first."""
    keys = [*SET, "result_set", "method", "question", "variant"]
    latest = attacks.sort_values(["date", "attack_version"], kind="stable", na_position="first").drop_duplicates(
        keys, keep="last"
    )
    latest = told_apart(latest)
    position = latest["method"].map({name: number for number, name in enumerate(REFERENCES)}).fillna(len(REFERENCES))
    order = latest.assign(
        position=position, by_title=latest["method_title"].str.casefold(), cheap=latest["variant"] != "full"
    )
    index = order.sort_values([*SET, "cheap", "question", "position", "by_title"]).index
    return latest.loc[index].reset_index(drop=True)


def told_apart(lines: pd.DataFrame) -> pd.DataFrame:
    """`lines`, in which titles of methods of which a design has several result sets say their search: "FT (quick)".

    Where that is the same they have the first digits of the result set.
    """
    of_method = lines.groupby([*SET, "method"])
    sets, searches = (of_method[name].transform("nunique") for name in ("result_set", "search"))
    words = lines["search"].where(searches == sets, lines["result_set"].str[:8])
    titles = lines["method_title"].mask(sets > 1, lines["method_title"] + " (" + words + ")")
    return lines.assign(method_title=titles)


def designs(attacks: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and lines of each design: dataset, architecture and splits."""
    of_designs = [lines for _, lines in current(attacks).groupby(SET)]
    stems = [f"ulira-{lines['dataset'].iloc[0]}-{lines['arch'].iloc[0]}" for lines in of_designs]
    for stem, lines in zip(stems, of_designs, strict=True):
        yield stem if stems.count(stem) == 1 else f"{stem}-{lines['cell'].iloc[0][:8]}", lines


def attack_tables(attacks: pd.DataFrame, remark: str) -> list[Table]:
    """One per design; attacks: as `Records.attacks`."""
    return [_table(name, lines, remark) for name, lines in designs(attacks)]


def _table(name: str, lines: pd.DataFrame, remark: str) -> Table:
    title = f"{lines['dataset_title'].iloc[0]}, {lines['arch_title'].iloc[0]}: per-sample attack (U-LiRA)"
    beside = BESIDE if lines["variant"].isin(TITLES).any() else ""
    caption = f"{remark}{_older(lines)}{LEGEND}{beside} {caption_text(facts(lines))}"
    return Table(name, title, caption, lines, formatted(lines), group=name)


def _older(lines: pd.DataFrame) -> str:
    """Says which lines have intervals of an earlier version."""
    titles = sorted(set(lines.loc[lines["attack_version"].isna(), "method_title"]))
    told = "Intervals that an earlier version made by a bootstrap of fixed fits, which are too narrow: "
    return f"{told}{', '.join(titles)}; the same command makes them anew. " if titles else ""


def facts(lines: pd.DataFrame) -> dict[str, str]:
    """The conditions under which lines of attacks came about, for captions."""
    stated = {fact: values_of(lines[column]) for fact, column in FACTS.items()}
    stated["dates"] = " to ".join(dict.fromkeys([lines["date"].min()[:10], lines["date"].max()[:10]]))
    return stated


def formatted(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of attacks for people."""
    shown: dict[str, Any] = {
        "method": lines["method_title"],
        "attacked": lines["question"],
        "variant": lines["variant"].replace(TITLES),
    }
    names = ["accuracy", "accuracy_sd", "accuracy_low", "accuracy_high"]
    shown["accuracy (chance 0.5)"] = [
        "" if pd.isna(value) else f"{value:.3f} ± {spread:.3f} [{low:.3f}, {high:.3f}]"
        for value, spread, low, high in lines[names].to_numpy(dtype=float).tolist()
    ]
    titles = {
        "balanced": "balanced accuracy",
        "auc": "AUC",
        "tpr_at_1_in_1000": "TPR at 0.1 %",
        "tpr_at_1_in_100": "TPR at 1 %",
    }
    for column, title in titles.items():
        ends = zip(lines[column], lines[f"{column}_low"], lines[f"{column}_high"], strict=True)
        shown[title] = ["" if pd.isna(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in ends]
    for column, title in {"sure": "p > 0.5: attacked", "sure_never": "p > 0.5: never seen"}.items():
        shown[title] = lines[column].map(_share)
    shown["samples"] = lines["samples"].astype(str) + " of " + lines["pool"].astype(str)
    shown["same decisions as full"] = lines["equal_decisions"].map(_share)
    shown["models"] = lines["models"].astype(str)
    return pd.DataFrame(shown).astype(str)


def _share(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"
