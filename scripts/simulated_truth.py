"""How often the statistics of the tables are right: invented result sets of known order, at the paper's size.

    python scripts/simulated_truth.py [SETS [SEED]]

18 methods, nine cells, 2, 5 and 10 seeds; SETS result sets of each kind (default 100, about 6 minutes). Prints the
table of docs/statistics.md; its last two columns are of procedures that were not taken. A slow test runs fewer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import rankdata, ttest_rel

from deepunlearn.analysis.inference import LEVEL, holm
from deepunlearn.analysis.rank import Scores, groups_of
from deepunlearn.analysis.rank import count_groups as counted
from deepunlearn.analysis.rank import dense_ranks as ranked
from deepunlearn.analysis.trust import reason_to_refuse

METHODS, CELLS, SEEDS = 18, 9, (2, 5, 10)
NOISE, SHARED = 0.3, 0.5  # of a seed, as shares of a method's mean: alone, and (of this) common to all methods
RESAMPLES = 200
TRUTHS = ("like the paper", "evenly spread", "in three ties", "one twice as good", "all equal")


def truth(kind: str, chance: np.random.Generator) -> np.ndarray:
    """True means [cells, methods], lower is better."""
    if kind == "like the paper":  # half good, a third middling, the rest bad, by other amounts in each cell
        levels = [chance.uniform(*ends, size) for ends, size in (((0.02, 0.06), 9), ((0.06, 0.2), 6), ((0.2, 1.0), 3))]
        return np.concatenate(levels) * np.exp(0.4 * chance.standard_normal((CELLS, METHODS)))
    if kind == "evenly spread":
        return chance.uniform(0.02, 0.3, (CELLS, METHODS))
    line = {
        "in three ties": np.repeat([0.03, 0.1, 0.3], [9, 6, 3]),
        "one twice as good": np.repeat([0.03, 0.06], [1, 17]),
        "all equal": np.full(METHODS, 0.05),
    }[kind]
    return np.tile(line, (CELLS, 1))


def invent(means: np.ndarray, seeds: int, chance: np.random.Generator) -> Scores:
    """A result set around true means [cells, methods]."""
    names = [f"m{number}" for number in range(METHODS)]
    tables = {}
    for cell, line in enumerate(means):
        common, own = chance.standard_normal((seeds, 1)), chance.standard_normal((seeds, METHODS))
        noise = SHARED * common + (1 - SHARED**2) ** 0.5 * own
        tables[str(cell)] = pd.DataFrame(line * (1 + NOISE * noise), columns=names)
    return Scores(tables, names, lower_is_better=True)


@dataclass
class Tally:
    """What came out, a value per method, cell or result set: see `summary`."""

    covered: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    false: list[bool] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    refused: list[bool] = field(default_factory=list)
    covered_dense: list[float] = field(default_factory=list)
    false_alone: list[bool] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Shares: true places in their intervals; cells with a method called worse than one that is no better; methods
        of twice the best's mean or more that are found to differ from it; result sets not ranked. width: in places.
        dense, alone: `covered` for dense ranks, `false` for tests against the best corrected among themselves only.
        """
        values = {"coverage": self.covered, "width": self.widths, "false": self.false, "power": self.found,
                  "refused": self.refused, "dense": self.covered_dense, "alone": self.false_alone}  # fmt: skip
        return {name: float(np.mean(some)) if len(some) else float("nan") for name, some in values.items()}


def simulate(kind: str, seeds: int, sets: int, seed: int = 0) -> dict[str, float]:
    """The summary of `sets` invented result sets of one kind."""
    chance, tally = np.random.default_rng([seed, seeds, TRUTHS.index(kind)]), Tally()
    for _ in range(sets):
        means = truth(kind, chance)
        scores = invent(means, seeds, chance)
        refused = bool(reason_to_refuse(scores))
        tally.refused.append(refused)
        if not refused:
            _places(scores, means, tally, chance)
        _differences(scores, means, tally)
    return tally.summary()


def _places(scores: Scores, means: np.ndarray, tally: Tally, chance: np.random.Generator) -> None:
    """A method's true place, where it shares some with others, is any of these."""
    bootstrap = scores.bootstrap(RESAMPLES)
    if bootstrap is None:
        return
    names = np.array(["G1", "G2", "G3"])[groups_of(means, lower_is_better=True)]
    ranks = ranked(counted(pd.DataFrame(names.T, index=scores.methods))).to_numpy()
    low, high = bootstrap.interval["low"].to_numpy(), bootstrap.interval["high"].to_numpy()
    tally.covered += list((low <= rankdata(ranks, "max")) & (rankdata(ranks, "min") <= high))
    tally.widths += list(high - low + 1)
    low, high = np.percentile(_resampled_ranks(scores, chance), [2.5, 97.5], axis=0, method="nearest")
    tally.covered_dense += list((low <= ranks) & (ranks <= high))


def _resampled_ranks(scores: Scores, chance: np.random.Generator) -> np.ndarray:
    """[RESAMPLES, methods]: dense ranks when the seeds of each cell are drawn anew, for all methods alike."""
    tables = [table.to_numpy() for table in scores.values.values()]
    drawn = [table[chance.integers(len(table), size=(RESAMPLES, len(table)))].mean(1) for table in tables]
    groups = np.stack([groups_of(means, lower_is_better=True) for means in drawn], axis=2)
    first, second = ((groups == number).sum(2) for number in (0, 1))
    return rankdata(-(first * (CELLS + 1) + second), "dense", axis=1)


def _differences(scores: Scores, means: np.ndarray, tally: Tally) -> None:
    verdicts = scores.against_best()
    if (verdicts["verdict"] == "not testable").any():
        return
    for cell, lines in verdicts.groupby("cell", sort=False):
        true = pd.Series(means[int(str(cell))], index=scores.methods)
        differs = lines.set_index("method")["verdict"].eq("differs").reindex(scores.methods)
        best = true[lines["method"].iloc[0]]
        tally.false.append(bool((differs & (true <= best)).any()))
        table = scores.values[str(cell)]
        rest = table.drop(columns=lines["method"].iloc[0])
        p = holm(ttest_rel(rest, table[[lines["method"].iloc[0]]]).pvalue)
        tally.false_alone.append(bool(((p < LEVEL) & (true[rest.columns] <= best)).any()))
        tally.found += list(differs[true >= 2 * true.min()])


def lines(sets: int, seed: int) -> Iterator[str]:
    """The table in Markdown."""
    yield (
        "| truth | seeds | not ranked | places covered | width | false in a cell | twice the best found | "
        "dense ranks covered | false, best alone |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind in TRUTHS:
        for seeds in SEEDS:
            told = simulate(kind, seeds, sets, seed)
            shown = {name: "not given" if np.isnan(value) else f"{value:.3f}" for name, value in told.items()}
            if not np.isnan(told["width"]):
                shown["width"] = f"{told['width']:.1f}"
            columns = [shown[name] for name in ("refused", "coverage", "width", "false", "power", "dense", "alone")]
            yield f"| {kind} | {seeds} | {' | '.join(columns)} |"


if __name__ == "__main__":
    for line in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        print(line, flush=True)
