"""Which attacks and verdicts agree: rank correlations over the methods of one design of U-LiRA, with intervals."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from deepunlearn.analysis import ulira_results, verdict_results
from deepunlearn.analysis.provenance import caption_text
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.analysis.ulira_results import facts

FEWEST = 5  # methods
ATTACKS = {"full": "U-LiRA", "cheap": "U-LiRA, cheap", "rmia": "RMIA", "iam": "IAM", "ruli": "RULI"}
VERDICTS = {"KLoM, mean": "KLoM", "forgetting score": "forgetting score", "memorisation": "memorisation"}
BETTER_HIGH = ("forgetting score",)
LEGEND = (
    "Spearman's rank correlation over the methods of this design (original and retrained left out), each ranked from "
    "least to most exposed: attacks by the distance of their AUC from 0.5, KLoM by its mean, memorisation by its size, "
    "the forgetting score from high to low; all of forgotten samples. In brackets 95 % intervals "
    "(Bonett and Wright 2000) for methods like these, drawn anew; the noise of each verdict makes correlations smaller "
    "than they would be with more models. A method with several searches counts once for each. Methods that are all "
    "near chance are ranked by noise."
)


class Correlation(NamedTuple):
    value: float
    low: float
    high: float


def correlation(one: np.ndarray, other: np.ndarray) -> Correlation | None:
    """Spearman's, of [n] and [n], with its 95 % interval; None of fewer than `FEWEST`, or where one is constant.

    Fisher's z with the variance (1 + r^2 / 2) / (n - 3); r is kept half a step of n ranks from 1, which that many
    cannot be nearer to. It covers 0.94 to 0.99 from 5 methods on.
    """
    methods = len(one)
    if methods < FEWEST or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    value = float(spearmanr(one, other).statistic)
    end = 1 - 6 / (methods * (methods**2 - 1))
    inner = float(np.clip(value, -end, end))
    half = float(norm.ppf(0.975)) * np.sqrt((1 + inner**2 / 2) / (methods - 3))
    low, high = np.tanh(np.arctanh(inner) + np.array([-half, half])).tolist()
    return Correlation(value, min(low, value), max(high, value))


def agreement_tables(attacks: pd.DataFrame, verdicts: pd.DataFrame, remark: str) -> list[Table]:
    """One per design in which some other attack than U-LiRA's was made; as `Records.attacks` and `Records.verdicts`."""
    others = dict(verdict_results.designs(verdicts, attacks))
    found = [(name, lines, exposures(lines, others.get(name))) for name, lines in ulira_results.designs(attacks)]
    return [_table(f"{name}-agreement", lines, table, remark) for name, lines, table in found if len(table.columns) > 2]


def exposures(attacks: pd.DataFrame, verdicts: pd.DataFrame | None) -> pd.DataFrame:
    """How exposed the forgotten samples are, higher is more: a line per method of a design, a column per verdict."""
    asked = attacks[(attacks["question"] == "forgotten") & ~attacks["method"].isin(REFERENCES)]
    keys = asked["result_set"] + asked["method"]
    columns = {
        title: pd.Series((own["auc"] - 0.5).abs().to_numpy(), index=keys[own.index])
        for variant, title in ATTACKS.items()
        if len(own := asked[asked["variant"] == variant])
    }
    if verdicts is not None:
        columns |= _of_verdicts(verdicts)
    return pd.DataFrame(columns).dropna(axis="columns", how="all").dropna()


def _of_verdicts(verdicts: pd.DataFrame) -> dict[str, pd.Series]:
    asked = verdicts[(verdicts["samples"] == "forgotten") & ~verdicts["method"].isin(REFERENCES)]
    columns = {}
    for verdict, title in VERDICTS.items():
        own = asked[asked["verdict"] == verdict]
        value = -own["value"] if verdict in BETTER_HIGH else own["value"].abs()
        columns[title] = pd.Series(value.to_numpy(), index=own["result_set"] + own["method"])
    return columns


def _table(name: str, lines: pd.DataFrame, exposed: pd.DataFrame, remark: str) -> Table:
    pairs = [(one, other, correlation(exposed[one].to_numpy(), exposed[other].to_numpy()))
             for one, other in combinations(exposed.columns, 2)]  # fmt: skip
    data = pd.DataFrame(
        [
            {"one": one, "other": other, "methods": len(exposed), **(found._asdict() if found else {})}
            for one, other, found in pairs
        ],
        columns=["one", "other", "methods", *Correlation._fields],
    )
    title = f"{lines['dataset_title'].iloc[0]}, {lines['arch_title'].iloc[0]}: which verdicts agree (U-LiRA: agreement)"
    caption = f"{remark}{LEGEND} Methods: {len(exposed)}. {caption_text(facts(lines))}"
    return Table(name, title, caption, data, _matrix(exposed, pairs), group=name)


def _matrix(exposed: pd.DataFrame, pairs: list[tuple[str, str, Correlation | None]]) -> pd.DataFrame:
    """Lower triangle: a correlation stands once."""
    lacking = f"needs {FEWEST} methods" if len(exposed) < FEWEST else "all alike"
    texts = {
        (other, one): lacking if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
        for one, other, found in pairs
    }
    names = list(map(str, exposed.columns))
    shown = {name: [texts.get((row, name), "") for row in names[1:]] for name in names[:-1]}
    return pd.DataFrame({"verdict": names[1:], **shown})
