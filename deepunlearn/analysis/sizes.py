"""Which method for which size of the forget set: result sets that differ in that size alone, beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd
from scipy.stats import binomtest, rankdata

from deepunlearn.analysis.aggregate import FAILED, NOT_APPLICABLE, aggregate
from deepunlearn.analysis.attack_noise import floors
from deepunlearn.analysis.rank import INSTEAD, Scores
from deepunlearn.analysis.rows import KIND, REFERENCES, current
from deepunlearn.analysis.sets import FOLLOW, RECIPE, asked_for, kinds
from deepunlearn.analysis.trust import Judged, judge
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.metrics.counted import too_few

# in a title: "20 random samples", "random 10 %", "3 persons", but not "class 3" or "coarse 3, 4 and sex f"
SIZE = re.compile(r"^[\d.,]+(?= )|[\d.,]+(?= (%|random|listed))")
SPELLINGS = {"random … %": "random", "… random samples": "random"}  # of one rule: both take the first of one order
SAME = [name for name in RECIPE if name not in (*FOLLOW, "forget_title")]  # what cells of a series have in common
LEVEL = 0.95  # of exact intervals
DIGITS = 9  # of means that are told apart


class Series(NamedTuple):
    """name: end of its files' names; label: what is forgotten apart from its size; rows: with their references."""

    name: str
    label: str
    rows: pd.DataFrame


def label_of(title: str) -> str:
    """What forget sets of one kind are called apart from their size: "random" of "random 5 %" and "1 random sample"."""
    bare = SIZE.sub("…", title)
    bare = f"{bare}s" if bare.startswith("… ") and bare.endswith(" sample") else bare
    return SPELLINGS.get(bare, bare)


def series(frame: pd.DataFrame) -> Iterator[Series]:
    """Rows, with their references, that differ in the size of the forget set alone. frame: as in `Records`.

    Cells with several result sets whose hyper-parameters were chosen in one way (by hand) are left out, as nothing says
    which is meant.
    """
    rows = current(frame)
    rows = rows.assign(series=rows["forget_title"].map(lambda title: label_of(str(title))))
    references = rows["method"].isin(REFERENCES)
    found = []
    for (_, _, label, *_), own in rows[~references].groupby(["dataset", "arch", "series", *SAME, *KIND], dropna=False):
        single = own[own.groupby("cell")["result_set"].transform("nunique") == 1]
        if single["n_forget"].nunique() > 1:
            beside = rows[references].merge(single[["cell", "seed"]].drop_duplicates(), on=["cell", "seed"])
            found.append((str(label), pd.concat([beside[list(single)], single], ignore_index=True)))
    stems = [f"{own['dataset'].iloc[0]}-{own['arch'].iloc[0]}" for _, own in found]
    for number, (stem, (label, own)) in enumerate(zip(stems, found, strict=True)):
        yield Series(f"{stem}-{number + 1}" if stems.count(stem) > 1 else stem, label, own)


class Interval(NamedTuple):
    low: float
    high: float


def exact(right: int, of: int) -> Interval:
    """95 % interval of a share of which `right` of `of` trials came out (Clopper and Pearson 1934)."""
    found = binomtest(right, of).proportion_ci(LEVEL, "exact")
    return Interval(float(found.low), float(found.high))


def forget_accuracy(rows: pd.DataFrame) -> tuple[float, Interval] | None:
    """Mean FA of usable models of one method and size, and the widest span of the models' exact intervals.

    Models of several seeds answer the same samples, so that more of them do not make the span narrower. None where no
    model is usable.
    """
    own = rows[rows["usable"] & rows["FA"].notna()]
    if own.empty:
        return None
    spans = [
        exact(round(accuracy * size), size) for accuracy, size in zip(own["FA"], own["n_forget"].tolist(), strict=True)
    ]
    return float(own["FA"].mean()), Interval(min(one.low for one in spans), max(one.high for one in spans))


@dataclass(frozen=True)
class Size:
    """One size of a series: `samples` are forgotten; rows as in `Series`; lines: of methods, as `aggregate`.

    ranks: metric -> what can be told of the methods' order by it.
    """

    samples: int
    rows: pd.DataFrame
    lines: pd.DataFrame
    scores: Mapping[str, Scores]
    judged: Mapping[str, Judged]

    @property
    def ratio(self) -> float:
        return float(self.rows["forget_ratio"].iloc[0])

    @property
    def seeds(self) -> int:
        return int(self.lines["n_seeds"].max())

    @property
    def failed(self) -> pd.DataFrame:
        """Lines of methods of which fewer models are usable than there are seeds."""
        return self.lines[self.lines["status"] == FAILED]

    @property
    def no_attack(self) -> str:
        """Why there is no attack at this size, "" where there is one."""
        first = self.rows.iloc[0]
        unseen = first["n_test"] if pd.isna(first["n_unseen_test"]) else first["n_unseen_test"]
        return too_few(self.samples, int(unseen), "test") or ""

    @cached_property
    def floors(self) -> dict[str, float]:
        """What the attack gives where nothing differs, as `attack_noise.floors`."""
        return floors(self.rows)

    def order(self, metric: str) -> pd.DataFrame:
        """Methods, best first: method, mean, place from 1 (equal means share one), verdict and p against the best."""
        found = self.scores[metric].against_best()
        signed = found["mean"].to_numpy(float) * (1 if self.scores[metric].lower_is_better else -1)
        places = rankdata(signed.round(DIGITS), method="min").astype("int64")
        return found.assign(place=places).sort_values("place", kind="stable", ignore_index=True)


class Limit(NamedTuple):
    """Where a method stops being usable. samples: None where nowhere; usable, seeds: models there; why: in words.

    again: larger sizes at which it is usable again; unknown: sizes at which it was not run or cannot be applied.
    """

    samples: int | None
    usable: int
    seeds: int
    why: str
    again: tuple[int, ...]
    unknown: tuple[int, ...]


@dataclass(frozen=True)
class BySize:
    """A series, size by size. metrics: that order methods, the same at every size."""

    series: Series
    sizes: tuple[Size, ...]
    metrics: tuple[str, ...]

    @cached_property
    def titles(self) -> dict[str, str]:
        """method -> its title, of all that ran at some size."""
        return {
            str(one.method): str(one.method_title) for each in self.sizes for one in each.lines.itertuples(index=False)
        }

    def limit(self, method: str) -> Limit:
        """The first size at which fewer models of `method` are usable than there are seeds."""
        own = [(each.samples, one) for each in self.sizes for one in _line(each, method)]
        run = {samples for samples, one in own if one["status"] in ("", FAILED)}
        unknown = tuple(each.samples for each in self.sizes if each.samples not in run)
        failed = [(samples, one) for samples, one in own if one["status"] == FAILED]
        if not failed:
            return Limit(None, 0, 0, "", (), unknown)
        samples, first = failed[0]
        again = tuple(size for size, one in own if size > samples and one["status"] == "")
        return Limit(samples, int(first["n_usable"]), int(first["n_seeds"]), str(first["reason"]), again, unknown)


def _line(size: Size, method: str) -> list[pd.Series]:
    return [one for _, one in size.lines[size.lines["method"] == method].iterrows()]


def by_size(frame: pd.DataFrame, cases: pd.DataFrame) -> list[BySize]:
    """Every series of at least two sizes. frame, cases: as in `Records`.

    A size at which every method failed counts where its cell has references, which say how many samples it forgets.
    """
    found = list(series(frame))
    if not found:
        return []
    lines, sets = aggregate(frame, cases), _sets(frame, cases)
    return [_by_size(one, lines, sets, current(frame)) for one in found]


def _sets(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Pairs of cell and result set that were asked for, with the number of the way of choosing, as `kinds` gives it."""
    rows = current(frame)
    return asked_for(rows[~rows["method"].isin(REFERENCES)], cases)


def _by_size(one: Series, lines: pd.DataFrame, sets: pd.DataFrame, rows: pd.DataFrame) -> BySize:
    pairs = _pairs(one, sets, rows)
    metric = "RetDev" if _everywhere(one.rows, "RetDev") else INSTEAD["RetDev"]
    sizes = [_size(pair, lines, rows, (metric, "Indisc")) for pair in pairs]
    sizes = [each for each in sizes if len(each.lines)]
    return BySize(one, tuple(sorted(sizes, key=lambda each: each.samples)), (metric, "Indisc"))


def _everywhere(rows: pd.DataFrame, metric: str) -> bool:
    """Whether all usable models of methods have a value, so that one metric orders methods at every size."""
    own = rows[rows["usable"] & ~rows["method"].isin(REFERENCES)]
    return bool(own[metric].notna().all())


def _pairs(one: Series, sets: pd.DataFrame, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Cell and result set of each size; also of sizes at which no method has a model."""
    methods = rows[~rows["method"].isin(REFERENCES)]
    kind = kinds(methods)[methods["result_set"].isin(one.rows["result_set"])].iloc[0]
    first = one.rows.iloc[0]
    alike = rows["forget_title"].map(lambda title: label_of(str(title))) == one.label
    for name in ("dataset", "arch", *SAME):
        alike &= rows[name].isna() if pd.isna(first[name]) else rows[name] == first[name]
    cells = set(rows.loc[alike, "cell"])
    own = sets[(sets["kind"] == kind) & sets["cell"].isin(cells)]
    single = own[own.groupby("cell")["result_set"].transform("nunique") == 1]
    return list(zip(single["cell"].tolist(), single["result_set"].tolist(), strict=True))


def _size(pair: tuple[str, str], lines: pd.DataFrame, rows: pd.DataFrame, metrics: tuple[str, ...]) -> Size:
    cell, result_set = pair
    own = rows[(rows["cell"] == cell) & rows["result_set"].isin([result_set, ""])]
    methods = lines[(lines["cell"] == cell) & (lines["result_set"] == result_set) & ~lines["method"].isin(REFERENCES)]
    usable = methods[methods["status"] == ""]["method"].tolist()
    trials = own["trials"].dropna()
    scores = {metric: _scores(own, usable, metric) for metric in metrics}
    judged = {name: judge(one, None if trials.empty else int(trials.max())) for name, one in scores.items()}
    return Size(int(own["n_forget"].iloc[0]), own, methods, scores, judged)


def _scores(rows: pd.DataFrame, usable: list[str], metric: str) -> Scores:
    """Of methods that did not fail at this size, those with a value on every seed."""
    own = rows[rows["method"].isin(usable) & ~rows["method"].isin(REFERENCES)]
    table = own.pivot_table(index="seed", columns="method", values=metric, dropna=False, aggfunc="last")
    table = table.sort_index().dropna(axis="columns")
    return Scores({"": table}, [str(name) for name in table], BUILT_IN[metric].better == "lower")


def not_applicable(size: Size) -> list[str]:
    """Titles of the methods that cannot be applied at this size."""
    return sorted(size.lines.loc[size.lines["status"] == NOT_APPLICABLE, "method_title"])
