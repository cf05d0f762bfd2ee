"""Requests that arrive one after the other: what each round's models cost, and what becomes of earlier requests.

A method's round r starts from its own model of round r - 1; the retrained model of a round is shared by all methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepunlearn.analysis.aggregate import FAILED, NOT_APPLICABLE
from deepunlearn.analysis.coverage import HOLES
from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, Floats, holm, mean_interval, paired_t
from deepunlearn.analysis.round_cases import placed
from deepunlearn.analysis.rows import REFERENCES, current

NOT_RUN = "not run"
BY = ["dataset", "arch", "sequence", "kind"]  # of a course
ORDERED = ["method", "seed", "round"]


class Judged(NamedTuple):
    """A difference over seeds. p: Holm's correction over the methods; verdict: in words, or why nothing can be said.

    mean, low, high: over seeds, with the 95 % interval (Student's t, not corrected); NaN where there is none.
    """

    mean: float
    low: float
    high: float
    p: float
    verdict: str


@dataclass(frozen=True)
class Words:
    """What a difference above and below 0 is called, and one that seeds may explain."""

    above: str
    below: str
    neither: str


COMES_BACK = Words("comes back", "goes on to be forgotten", "no change seen")
SEEN = Words("more than in retrained models", "less than in retrained models", "no difference seen")
ERODES = Words("rises", "erodes", "no change seen")


def floats(values: pd.Series[float]) -> Floats:
    """What is known of `values`."""
    return np.asarray(values.dropna(), dtype=np.float64)


def judged(values: Mapping[str, Floats | str], words: Words) -> dict[str, Judged]:
    """Differences by method [seeds], or why there are none, against 0: t-tests, Holm's correction over the methods.

    Below `FEWEST_SEEDS` nothing is said.
    """
    known = {name: one for name, one in values.items() if not isinstance(one, str)}
    tested = {name: one for name, one in known.items() if len(one) >= FEWEST_SEEDS}
    corrected = dict(zip(tested, holm(np.array([paired_t(one) for one in tested.values()])), strict=True))
    bare = {name: one for name, one in values.items() if isinstance(one, str)}
    nan = float("nan")
    return {
        name: Judged(nan, nan, nan, nan, bare[name])
        if name in bare
        else _judged(known[name], corrected.get(name), words)
        for name in values
    }


def _judged(values: Floats, p: float | None, words: Words) -> Judged:
    low, high = mean_interval(values) or (float("nan"), float("nan"))
    mean = float(values.mean())
    if p is None:
        return Judged(mean, low, high, float("nan"), f"cannot tell: needs {FEWEST_SEEDS} seeds, has {len(values)}")
    verdict = words.neither if p >= LEVEL else words.above if mean > 0 else words.below
    return Judged(mean, low, high, float(p), verdict)


class Crossing(NamedTuple):
    """The first round from which on, to the last, retraining is cheaper, by the seeds' means; None: not after the last.

    of_seeds: the same of each seed; why: why it cannot be told, else "".
    """

    round: int | None
    of_seeds: tuple[int | None, ...]
    why: str = ""


class Course:
    """All rounds of one sequence of requests, hyper-parameters chosen in one way.

    name: end of its files' names; rows: that count, references of every round included; cases: what was asked for of
    methods, as `round_cases.placed`.
    """

    def __init__(self, name: str, rows: pd.DataFrame, cases: pd.DataFrame) -> None:
        self.name, self.rows, self.cases = name, rows, cases

    @cached_property
    def rounds(self) -> list[int]:
        return list(range(1, int(self.rows["rounds"].iloc[0]) + 1))

    @cached_property
    def requested(self) -> dict[int, int]:
        """Samples of each round's request; of rounds that have rows."""
        return _by_round(self.rows, "requested")

    @cached_property
    def forgotten(self) -> dict[int, int]:
        """Samples of all requests up to each round."""
        return _by_round(self.rows, "forgotten")

    @cached_property
    def methods(self) -> dict[str, str]:
        """method -> title, by title; references left out."""
        titles = dict(zip(self.cases["method"].tolist(), self.cases["method_title"].tolist(), strict=True))
        return dict(sorted(titles.items(), key=lambda one: (str(one[1]).casefold(), one[0])))

    @cached_property
    def seeds(self) -> list[int]:
        return sorted(self.cases["seed"].unique().tolist())

    @cached_property
    def standing(self) -> pd.DataFrame:
        """Rows of usable models; of a method's only those whose models of all earlier rounds are usable too."""
        rows = self.rows.sort_values(ORDERED)
        groups = rows.groupby(ORDERED[:2])
        unbroken = groups["usable"].cummin().astype(bool) & (groups.cumcount() + 1 == rows["round"])
        return rows[rows["usable"] & (unbroken | rows["method"].isin(REFERENCES))]

    def table(self, method: str, column: str) -> pd.DataFrame:
        """Seeds x rounds of a column; NaN where no usable model is, or it has no value."""
        values = np.full((len(self.seeds), len(self.rounds)), np.nan)
        if method in self._standing:
            own = self._standing[method]
            places = np.searchsorted(self.seeds, own["seed"]), own["round"].to_numpy(int) - 1
            values[places] = own[column].to_numpy(float, na_value=np.nan)
        return pd.DataFrame(values, index=self.seeds, columns=self.rounds)

    @cached_property
    def _standing(self) -> dict[str, pd.DataFrame]:
        """method -> its rows among `standing`."""
        return {str(method): own for method, own in self.standing.groupby("method")}

    def usable(self, method: str) -> dict[int, int]:
        """Round -> models of it that are usable, with those of all earlier rounds."""
        counts = self.table(method, "seconds").notna().sum()
        return {round: int(counts[round]) for round in self.rounds}

    def broken(self, method: str) -> int | None:
        """The first round in which not every seed has a usable model; None: in none."""
        counts = self.usable(method)
        return next((round for round in self.rounds if counts[round] < len(self.seeds)), None)

    def gap(self, method: str) -> str:
        """Why not every seed has a usable model in every round, and from which on: "F from round 2"; "" where it has.

        Of the first such round: F, n/a where the method cannot be applied, or "not run".
        """
        round = self.broken(method)
        if round is None:
            return ""
        held = self.table(method, "seconds")[round]
        own = self.cases[(self.cases["method"] == method) & (self.cases["round"] == round)]
        outcomes = own.loc[own["seed"].isin(held.index[held.isna()]), "outcome"]
        bare = outcomes == "not_applicable"
        lost = ~outcomes.isin(HOLES) & ~bare
        return f"{FAILED if lost.any() else NOT_APPLICABLE if bare.any() else NOT_RUN} from round {round}"

    # ------------------------------------------------------------------------------------ what became of earlier ones

    def excess(self, method: str, column: str) -> pd.DataFrame:
        """Seeds x rounds: a column of the method's models less that of the retrained ones of the round and seed."""
        return self.table(method, column) - self.table("retrained", column)

    def excess_in(self, round: int, column: str, words: Words = SEEN) -> dict[str, Judged]:
        """Of each method in a round."""
        return judged({name: self._complete(name, self.excess(name, column)[round]) for name in self.methods}, words)

    def came_back(self) -> dict[str, Judged]:
        """How far accuracy on all but the last request rose from when each was forgotten to the last round.

        Against the retrained models of these rounds. When each was forgotten: FA_request, weighted by its samples,
        which is the accuracy on the same samples as FA_earlier of the last round.
        """
        last = self.rounds[-1]
        weights = np.array([self.requested.get(round, 0) for round in self.rounds[:-1]], dtype=float)
        found: dict[str, Floats | str] = {}
        for name in self.methods:
            then = (self.excess(name, "FA_request")[self.rounds[:-1]] * weights).sum(
                axis=1, skipna=False
            ) / weights.sum()
            found[name] = self._complete(name, self.excess(name, "FA_earlier")[last] - then)
        return judged(found, COMES_BACK)

    def seen_at_last(self) -> dict[str, Judged]:
        """How far the attack on all but the last request sees more after the last round than in retrained models."""
        return self.excess_in(self.rounds[-1], "Disc_AUC_earlier")

    def eroded(self) -> dict[str, Judged]:
        """How far RA of the last round is from that of the first, less the same of the retrained models."""
        return judged({name: self._complete(name, self._change(name)) for name in self.methods}, ERODES)

    def _change(self, method: str) -> pd.Series[float]:
        excess = self.excess(method, "RA")
        return excess[self.rounds[-1]] - excess[self.rounds[0]]

    def _complete(self, method: str, values: pd.Series[float]) -> Floats | str:
        """Values [seeds], or why they are not all there."""
        broken = self.broken(method)
        if broken is not None and values.isna().any():
            return f"cannot tell: no usable model on every seed from round {broken} on"
        if values.isna().any():
            return "n/a: not defined on every seed"
        return floats(values)

    # ------------------------------------------------------------------------------------------------------ its cost

    def spent(self, method: str) -> pd.DataFrame:
        """Seeds x rounds: seconds of unlearning up to a round."""
        return self.table(method, "seconds").cumsum(axis=1, skipna=False)

    def retraining(self, method: str) -> pd.DataFrame:
        """Seeds x rounds: seconds of retraining in a round, as timed in the same process as the method."""
        return self.table(method, "retrain_seconds")

    def recording(self, method: str) -> pd.Series[float]:
        """Seconds [seeds] of what it needs of the learning phase, paid once, before any request; NaN: it needs none."""
        return self.table(method, "record_seconds")[self.rounds[0]]

    def dearer_than_each(self, method: str, *, record: bool = False) -> Crossing:
        """From which round on the method has taken longer, up to each, than retraining in every round would have.

        record: whether `recording` counts as spent before the first round.
        """
        return self._crossing(method, lambda seconds: seconds.cumsum(axis=1, skipna=False), record)

    def dearer_than_once(self, method: str, *, record: bool = False) -> Crossing:
        """From which round on it has taken longer than waiting until then and retraining once, without all requests."""
        return self._crossing(method, lambda seconds: seconds, record)

    def _crossing(self, method: str, against: Callable[[pd.DataFrame], pd.DataFrame], record: bool) -> Crossing:
        spent, other = self.spent(method), against(self.retraining(method))
        if record:
            spent = spent.add(self.recording(method).fillna(0.0), axis=0)
        if self.broken(method) is not None:
            return Crossing(None, (), f"cannot tell: no usable model on every seed from round {self.broken(method)} on")
        if spent.isna().any(axis=None) or other.isna().any(axis=None):
            return Crossing(None, (), "n/a: not timed beside retraining in every round")
        each = tuple(self._from(spent.loc[seed] > other.loc[seed]) for seed in spent.index)
        return Crossing(self._from(spent.mean() > other.mean()), each)

    def _from(self, dearer: pd.Series[bool]) -> int | None:
        """The first round of those, up to the last, in all of which it is dearer."""
        lasting = dearer[::-1].cummin()[::-1]
        return next((round for round, stays in zip(self.rounds, lasting, strict=True) if stays), None)


def _by_round(rows: pd.DataFrame, column: str) -> dict[int, int]:
    known = rows.dropna(subset=["round", column])
    return {int(round): int(value) for round, value in zip(known["round"], known[column], strict=True)}


def courses(frame: pd.DataFrame, cases: pd.DataFrame) -> list[Course]:
    """Every sequence of at least two requests, by way of choosing hyper-parameters. frame, cases: as in `Records`.

    Of a round with several result sets of one way of choosing (by hand) none counts, as nothing says which is meant.
    """
    rows = current(frame)
    rows = rows[rows["sequence"].notna() & (rows["rounds"] > 1)]
    found = list(_courses(rows, placed(frame, cases))) if len(rows) else []
    stems = [f"{own['dataset'].iloc[0]}-{own['arch'].iloc[0]}" for own, _ in found]
    return [
        Course(f"{stem}-{number + 1}" if stems.count(stem) > 1 else stem, *parts)
        for number, (stem, parts) in enumerate(zip(stems, found, strict=True))
    ]


def _courses(rows: pd.DataFrame, asked: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Rows with their references, and what was asked for, as `round_cases.placed`, of each."""
    references = rows["method"].isin(REFERENCES)
    known = asked[["cell", "result_set", "kind"]].drop_duplicates()
    for _, own in rows[~references].merge(known, on=["cell", "result_set"]).groupby(BY):
        single = own[_alone(own)]
        if len(single):
            theirs = asked.merge(own[BY].drop_duplicates(), on=BY)
            bare = theirs[~theirs["cell"].isin(own["cell"])]
            theirs = pd.concat([theirs[theirs["result_set"].isin(single["result_set"])], bare[_alone(bare)]])
            beside = rows[references & rows["sequence"].isin(single["sequence"]) & rows["seed"].isin(theirs["seed"])]
            yield pd.concat([beside, single.drop(columns="kind")], ignore_index=True), theirs


def _alone(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether a line's result set is the only one of its cell."""
    return table.groupby("cell")["result_set"].transform("nunique") == 1
