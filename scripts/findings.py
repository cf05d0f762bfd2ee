"""The ten questions of docs/findings.md, answered from stored records by the rules that were written there before.

    python scripts/findings.py records=DIR[,DIR...] [page=FILE]

Reads records (or whole results folders), computes nothing anew and prints Markdown: a table of the answers, and what
each rests on. What is neither agreement nor contradiction is "not decided"; what was not run is "not run".

A method counts in a cell where all its models are usable; one that has fewer is not in tests, and comes last in orders.
Orders are compared by Kendall's tau-b of the methods' means. Its interval is of 1,000 draws of the seeds, the same for
all methods. KLoM has one value per method, over all seeds: it is drawn from a normal distribution as wide as its
own interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from published import badness, markdown, table_of
from scipy.stats import beta, kendalltau

from deepunlearn.analysis.compare import published as of_the_paper
from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, against_best, differences, holm, mean_interval, paired_t
from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.rank import GROUPS, group
from deepunlearn.analysis.records import gather
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.cli import run_main, wants_help
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.core.paths import write_atomically

AGREES, CONTRADICTS, UNDECIDED, NOT_RUN = "agrees", "contradicts", "not decided", "not run"
CELLS = {"CIFAR-10 x ResNet18": ("cifar10", "resnet18"), "MNIST x TinyViT": ("mnist", "tinyvit")}
CIFAR = "CIFAR-10 x ResNet18"
SETS: Mapping[str, Mapping[str, str]] = {  # what rows of a run have in common
    "searched": {"protocol": "heldout", "search": "thrifty", "space": "paper"},
    "ours": {"protocol": "heldout", "search": "thrifty", "space": "ours"},
    "default": {"protocol": "heldout", "search": "none"},
    "paper": {"protocol": "paper", "search": "thrifty", "space": "paper"},
}
CHALLENGE = ("fcs", "msg", "cfw", "prmq", "ct", "kde", "rni")
NEWER = ("ssd", "l1sparse", "delete", "boundary_shrink", "jit", "amun", "sfron", "rum", "advneggrad")
BY_TIME = ("ct", "ft", "msg", "kde", "prmq", "cfw")  # of the paper's table 2
METRICS = ("RetDev", "Indisc", "Disc_AUC", "KLoM_F", "gap", "ToW")
OVER_SEEDS = ("KLoM_F",)  # one value per method
SEARCHED_ON = (0, 1, 2)  # report seeds that protocol=paper searches on, too
ALIKE = 0.5  # of tau: orders that agree, here
NEAR = 0.87  # of six methods: p 0.017
DRAWS = 1000
OPTIONS: Mapping[str, str | bool] = {"records": "results/findings", "page": "none"}

Floats = npt.NDArray[np.float64]


class Answer(NamedTuple):
    """told: what it rests on, a line for each cell or pair."""

    verdict: str
    told: tuple[str, ...]


class Interval(NamedTuple):
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Interval | None:
        """Of a mean, Student's t; None below 5 values."""
        ends = mean_interval(values)
        return None if ends is None else cls(float(values.mean()), *ends)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Cell:
    """The rows of one cell and set; columns: of the catalogue, by name."""

    rows: pd.DataFrame
    columns: Mapping[str, Column]

    @cached_property
    def methods(self) -> list[str]:
        """Those that ran, references left out."""
        return [name for name in dict.fromkeys(self.rows["method"]) if name not in REFERENCES]

    def usable(self, method: str) -> tuple[int, int]:
        """Models that are usable, of how many."""
        own = self.rows[self.rows["method"] == method]
        return int(own["usable"].sum()), len(own)

    @cached_property
    def whole(self) -> list[str]:
        """Methods all of whose models are usable, on every seed of the cell."""
        seeds = self.rows["seed"].nunique()
        return [name for name in self.methods if self.usable(name) == (seeds, seeds)]

    def values(self, column: str) -> pd.DataFrame:
        """Seeds x methods that are `whole`, as stored."""
        if column not in self.rows:
            return pd.DataFrame()
        table = table_of(self.rows, column)
        return table[[name for name in self.whole if name in table]]

    def bad(self, column: str) -> pd.DataFrame:
        """The same, lower is better."""
        return badness(self.values(column), self.columns[column])


@dataclass(frozen=True)
class Findings:
    """rows: that count; columns: of the catalogue."""

    rows: pd.DataFrame
    columns: Mapping[str, Column]

    def cell(self, name: str, run: str = "searched") -> Cell | None:
        """None where nothing of it was run. Raises ConfigError for two result sets where one is meant."""
        dataset, arch = CELLS[name]
        rows = self.rows
        own = rows[(rows["dataset"] == dataset) & (rows["arch"] == arch) & (rows["forget_kind"] == "random")]
        alike = (
            own[list(SETS[run])].eq(pd.Series(SETS[run])).fillna(False).all(axis=1).astype(bool)
        )  # references have none
        chosen = own[alike | own["method"].isin(REFERENCES)]
        twice = chosen.duplicated(["method", "seed"])
        if twice.any():
            raise ConfigError(
                "a model is there several times",
                given=f"{', '.join(sorted(set(chosen.loc[twice, 'method'])))} in {name}, run {run!r}",
                allowed="one result set for each cell, method and run of docs/findings.md",
                remedy="give the records of the runs of docs/findings.md alone",
            )
        return Cell(chosen, self.columns) if alike.any() else None

    def cells(self) -> list[tuple[str, Cell]]:
        """Both, with what was searched; those that were run."""
        return [(name, cell) for name in CELLS if (cell := self.cell(name)) is not None]


Ask = Callable[[Findings], Answer]


def judged(answers: Sequence[str], *, one_contradicts: bool = False) -> str:
    """Of answers that must all agree; where some are missing the rest decides nothing but a contradiction in one."""
    if set(answers) == {NOT_RUN}:
        return NOT_RUN
    contradict = (any if one_contradicts else all)(one == CONTRADICTS for one in answers)
    return CONTRADICTS if contradict else AGREES if all(one == AGREES for one in answers) else UNDECIDED


# ------------------------------------------------------------------------------------------------------- the questions


def in_each_cell(ask: Callable[[Cell], tuple[str, str]], *, one_contradicts: bool = False) -> Ask:
    """Asks both cells with what was searched; one_contradicts: a contradiction in one of them is one."""

    def answer(found: Findings) -> Answer:
        cells = {name: found.cell(name) for name in CELLS}
        asked = {name: (NOT_RUN, NOT_RUN) if cell is None else ask(cell) for name, cell in cells.items()}
        told = tuple(f"{name}: {words}" for name, (_, words) in asked.items())
        return Answer(judged([one for one, _ in asked.values()], one_contradicts=one_contradicts), told)

    return answer


def at_the_top(metric: str, *asked: str) -> Ask:
    """Questions 1 and 4: methods that are to be at the top."""
    return in_each_cell(lambda cell: _at_the_top(cell, metric, asked))


def _at_the_top(cell: Cell, metric: str, asked: Sequence[str]) -> tuple[str, str]:
    """Who is not usable everywhere is told from the best."""
    bad = cell.bad(metric)
    missing = [method for method in asked if method not in cell.methods]
    if missing or bad.empty:
        return NOT_RUN, f"{', '.join(missing or asked)} {NOT_RUN}"
    order = bad.mean().sort_values(kind="stable").index
    found = dict(zip(order, against_best(bad[order].to_numpy(float), 0), strict=True))
    means, differ, words = cell.values(metric).mean(), [], []
    for method in asked:
        if method in cell.whole and method not in found:
            return UNDECIDED, f"{method} has no {metric} on some seed"
        if method not in found:
            differ.append(True)
            words.append(f"{method} usable {'/'.join(map(str, cell.usable(method)))}")
            continue
        p, verdict = found[method]
        if verdict == "not testable":
            return UNDECIDED, "too few seeds"
        differ.append(verdict == "differs")
        words.append(f"{method} {means[method]:.3f} {verdict}" + ("" if np.isnan(p) else f" (p {p:.3f})"))
    told = f"best {order[0]} {means[order[0]]:.3f}; {'; '.join(words)}"
    return AGREES if not any(differ) else CONTRADICTS if all(differ) else UNDECIDED, told


def ga_and_ngplus(cell: Cell) -> tuple[str, str]:
    """Question 2, in a cell."""
    if missing := [method for method in ("ga", "ngplus") if method not in cell.methods]:
        return NOT_RUN, f"{', '.join(missing)} {NOT_RUN}"
    if unusable := [method for method in ("ga", "ngplus") if method not in cell.whole]:
        return UNDECIDED, f"not usable on every seed: {', '.join(unusable)}"
    bad = cell.bad("RetDev")
    place = GROUPS[group(bad.mean().to_numpy(float), True)[list(bad).index("ga")]]
    interval = Interval.of(differences(bad["ga"].to_numpy(float), bad["ngplus"].to_numpy(float)))
    if interval is None:
        return UNDECIDED, "too few seeds"
    worst = place == GROUPS[-1]
    verdict = CONTRADICTS if interval.high < 0 else AGREES if worst and interval.low > 0 else UNDECIDED
    return verdict, f"GA is in {place}; RetDev of GA less that of NG+ {interval}"


def ff_in_both_ranges(found: Findings) -> Answer:
    """Question 3."""
    theirs, ours = (_usable(found.cell(CIFAR, run), "ff") for run in ("searched", "ours"))
    if theirs is None or ours is None:
        return Answer(NOT_RUN, (f"{CIFAR}: {NOT_RUN}",))
    told = f"usable models, with exact 95 % intervals: {_share(*theirs)} in the paper's range, {_share(*ours)} in ours"
    if theirs[0] or ours[0] < ours[1]:
        return Answer(CONTRADICTS, (told,))
    return Answer(AGREES if min(theirs[1], ours[1]) >= 10 else UNDECIDED, (told,))


def _usable(cell: Cell | None, method: str) -> tuple[int, int] | None:
    return None if cell is None or method not in cell.methods else cell.usable(method)


def _share(some: int, of: int) -> str:
    """Clopper and Pearson's interval."""
    low = 0.0 if some == 0 else float(beta.ppf(LEVEL / 2, some, of - some + 1))
    high = 1.0 if some == of else float(beta.ppf(1 - LEVEL / 2, some + 1, of - some))
    return f"{some}/{of} [{low:.2f}, {high:.2f}]"


def order_by_time(found: Findings) -> Answer:
    """Question 5."""
    cell = found.cell(CIFAR)
    times = None if cell is None else cell.values("RTE")
    if times is None or any(method not in times for method in BY_TIME):
        return Answer(NOT_RUN, (f"{CIFAR}: {NOT_RUN}, or not usable on every seed",))
    own, theirs = times[list(BY_TIME)].mean(), of_the_paper("table2").set_index("method")["cifar10"]
    tau, p = kendalltau(own.to_numpy(float), theirs[list(BY_TIME)].to_numpy(float), method="exact")
    told = f"RTE {', '.join(f'{method} {own[method]:.2f}' for method in own.sort_values(ascending=False).index)}"
    verdict = AGREES if tau >= NEAR else CONTRADICTS if tau <= 0 else UNDECIDED
    return Answer(verdict, (f"{CIFAR}: {told}; tau {tau:+.2f} (exact p {p:.3f})",))


def orders_agree(pairs: Sequence[tuple[str, str]], claim_is_agreement: bool) -> Ask:
    """Questions 6 (they agree) and 7 (some do not)."""

    def answer(found: Findings) -> Answer:
        taus = {(name, *pair): tau(cell, *pair) for name, cell in found.cells() for pair in pairs}
        known = {place: one for place, one in taus.items() if one is not None}
        told = [f"{name}: {one} and {other}: tau {value}" for (name, one, other), value in known.items()]
        if not known:
            return Answer(NOT_RUN, (NOT_RUN,))
        apart = any(one.high < ALIKE for one in known.values())
        alike = len(known) == len(CELLS) * len(pairs) and all(one.low > ALIKE for one in known.values())
        if_alike, if_apart = (AGREES, CONTRADICTS) if claim_is_agreement else (CONTRADICTS, AGREES)
        return Answer(if_alike if alike else if_apart if apart else UNDECIDED, tuple(told))

    return answer


def tau(cell: Cell, one: str, other: str) -> Interval | None:
    """Kendall's tau-b of two orders of the cell's methods; None where a metric has no values, or too few seeds."""
    drawn = [_drawn_means(cell, metric, salt) for salt, metric in enumerate((one, other))]
    if any(table is None for table in drawn):
        return None
    pairs = list(zip(*(table for table in drawn if table is not None), strict=True))
    value, *values = (float(kendalltau(*pair).statistic) for pair in pairs)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _drawn_means(cell: Cell, metric: str, salt: int) -> Floats | None:
    """[1 + draws, methods]: means of all seeds, then of drawn ones, lower is better; who is not usable comes last."""
    bad = cell.bad(metric) if metric in cell.rows else pd.DataFrame()
    if bad.empty or len(bad) < FEWEST_SEEDS:
        return None
    bad = bad.reindex(columns=cell.methods)
    if metric in OVER_SEEDS:
        drawn = _within(cell, metric, bad.iloc[0], salt)
    else:
        chosen = np.random.default_rng(0).integers(len(bad), size=(DRAWS, len(bad)))
        drawn = bad.to_numpy(float)[chosen].mean(axis=1)
    return np.nan_to_num(np.vstack([bad.mean().to_numpy(float), drawn]), nan=np.finfo(float).max)


def _within(cell: Cell, metric: str, values: pd.Series[float], salt: int) -> Floats:
    """[draws, methods]: as wide as the interval that the measure gives."""
    ends = [cell.values(f"{metric}_{end}").reindex(columns=values.index).iloc[0] for end in ("low", "high")]
    width = (ends[1] - ends[0]).to_numpy(float) / (2 * 1.96)
    return values.to_numpy(float) + width * np.random.default_rng(1 + salt).standard_normal((DRAWS, len(values)))


def search_flatters(found: Findings) -> Answer:
    """Question 8."""
    theirs, ours = found.cell(CIFAR, "paper"), found.cell(CIFAR)
    if theirs is None or ours is None:
        return Answer(NOT_RUN, (f"{CIFAR}: {NOT_RUN}",))
    tables = [cell.bad("RetDev") for cell in (theirs, ours)]
    common = [method for method in tables[0] if method in tables[1]]
    behind = [table.loc[~_first(table), common].mean() - table.loc[_first(table), common].mean() for table in tables]
    change = (behind[0] - behind[1]).dropna()
    interval = Interval.of(change.to_numpy(float))
    if interval is None:
        return Answer(UNDECIDED, (f"{CIFAR}: {len(change)} methods are too few",))
    verdict = AGREES if interval.low > 0 else CONTRADICTS if interval.high < 0 else UNDECIDED
    return Answer(verdict, (f"{CIFAR}, {', '.join(change.index)}: {interval}",))


def _first(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.isin(table.index.to_numpy(), SEARCHED_ON)


def search_gains(found: Findings) -> Answer:
    """Question 9."""
    default, searched = found.cell(CIFAR, "default"), found.cell(CIFAR)
    if default is None or searched is None:
        return Answer(NOT_RUN, (f"{CIFAR}: {NOT_RUN}",))
    tables = default.bad("RetDev"), searched.bad("RetDev")
    common = [method for method in tables[0] if method in tables[1]]
    gains = {name: differences(*(table[name].to_numpy(float) for table in tables)) for name in common}
    if not gains or min(map(len, gains.values())) < FEWEST_SEEDS:
        return Answer(UNDECIDED, (f"{CIFAR}: too few seeds",))
    p = dict(zip(gains, holm(np.array([paired_t(one) for one in gains.values()])), strict=True))
    better, worse = (
        [name for name, one in gains.items() if p[name] < LEVEL and sign * one.mean() > 0] for sign in (1, -1)
    )
    told = f"{CIFAR}: of {len(gains)} methods better {', '.join(better) or 'none'}; worse {', '.join(worse) or 'none'}"
    verdict = AGREES if len(better) > len(gains) / 2 else CONTRADICTS if not better else UNDECIDED
    return Answer(verdict, (told,))


def newer_beat_the_challenge(found: Findings) -> Answer:
    """Question 10. Both bests are chosen by the data: the correction is over all pairs of a newer and an older one."""
    cell = found.cell(CIFAR)
    lines = [] if cell is None else [_newer(cell, metric) for metric in ("RetDev", "Indisc")]
    if not lines or any(one is None for one in lines):
        return Answer(NOT_RUN, (f"{CIFAR}: {NOT_RUN}",))
    verdicts, told = zip(*(one for one in lines if one is not None), strict=True)
    return Answer(judged(verdicts), tuple(f"{CIFAR}, {words}" for words in told))


def _newer(cell: Cell, metric: str) -> tuple[str, str] | None:
    bad = cell.bad(metric)
    newer, older = ([method for method in names if method in bad] for names in (NEWER, CHALLENGE))
    if not newer or not older or len(bad) < FEWEST_SEEDS:
        return None
    pairs = list(product(newer, older))
    found = {pair: differences(*(bad[method].to_numpy(float) for method in pair)) for pair in pairs}
    p = dict(zip(pairs, holm(np.array([paired_t(one) for one in found.values()])), strict=True))
    best: tuple[str, str] = (str(bad[newer].mean().idxmin()), str(bad[older].mean().idxmin()))
    differs, better = p[best] < LEVEL, found[best].mean() < 0
    means = cell.values(metric).mean()
    words = f"{metric}: {best[0]} {means[best[0]]:.3f}, {best[1]} {means[best[1]]:.3f} (p {p[best]:.3f})"
    return (UNDECIDED if not differs else AGREES if better else CONTRADICTS), words


QUESTIONS: Mapping[str, Ask] = {
    "MSG and CT are at the top in Indisc": at_the_top("Indisc", "msg", "ct"),
    "GA is at the bottom and NG+ is better": in_each_cell(ga_and_ngplus, one_contradicts=True),
    "FF fails in the paper's range, and works in ours": ff_in_both_ranges,
    "FT is a baseline that is hard to beat in RetDev": at_the_top("RetDev", "ft"),
    "RTE falls in the order CT, FT, MSG, KDE, PRMQ, CFW": order_by_time,
    "the order by U-MIA agrees with those by KLoM and Disc_AUC": orders_agree(
        [("Indisc", "KLoM_F"), ("Indisc", "Disc_AUC")], claim_is_agreement=True
    ),
    "the choice of a metric changes the order": orders_agree(list(combinations(METRICS, 2)), claim_is_agreement=False),
    "a search on report seeds flatters the result": search_flatters,
    "a search gains over default values": search_gains,
    "newer methods beat those of the challenge": newer_beat_the_challenge,
}
"""Claim -> what answers it, in the order of docs/findings.md."""


def page_of(found: Findings) -> str:
    """The table of the answers, and what each rests on."""
    answers = [(claim, ask(found)) for claim, ask in QUESTIONS.items()]
    lines = [[str(number), claim, answer.verdict] for number, (claim, answer) in enumerate(answers, 1)]
    return "\n".join([markdown(["", "the claim", "our results"], lines), "", *_reasons(answers)]) + "\n"


def _reasons(answers: Sequence[tuple[str, Answer]]) -> Iterator[str]:
    for number, (claim, answer) in enumerate(answers, 1):
        yield from (f"**{number}. {claim}: {answer.verdict}.**", "", *(f"- {one}" for one in answer.told), "")


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(__doc__)
        return 0
    options = {name: str(value) for name, value in parse_options(arguments, OPTIONS).items()}
    records = gather([Path(one) for one in options["records"].split(",")])
    columns = {column.name: column for measure in records.catalogue.measures for column in measure.columns}
    text = page_of(Findings(current(records.rows), columns))
    print(text)
    if options["page"] != "none":
        write_atomically(Path(options["page"]), text)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
