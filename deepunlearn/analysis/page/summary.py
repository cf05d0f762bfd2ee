"""The answer of one result set: a line per method, best rank first, with values, intervals, speed and failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from deepunlearn.analysis.aggregate import FAILED
from deepunlearn.analysis.attack_noise import floors, samples_on_each_side
from deepunlearn.analysis.inference import FEWEST_SEEDS, mean_interval
from deepunlearn.analysis.page.result_sets import ResultSet
from deepunlearn.analysis.page.scales import Scale, scale_of
from deepunlearn.analysis.page.strips import axis, strip
from deepunlearn.analysis.provenance import UNDERSTATED, UNDERSTATES
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.measure_config import Column
from deepunlearn.metrics.catalogue import Catalogue

WORDS = {  # what a stranger must know of the metrics of a ranking
    "RetDev": "distance from retraining, best 0",
    "gap": "distance from retraining, best 0",
    "Indisc": "hidden from the attack, best 1",
}


@dataclass(frozen=True)
class Measured:
    """One measure of one method: its rank in words, "" where it has none; value: for sorting, None where missing."""

    rank: str
    text: str
    value: float | None
    drawing: Markup


@dataclass(frozen=True)
class Line:
    """One method. full: the title spelled out, "" where it says no more; state: "", F, n/a or incomplete."""

    method: str
    title: str
    full: str
    measures: list[Measured]
    rte: float | None
    usable: str
    state: str
    why: str


@dataclass(frozen=True)
class Heading:
    """A measure above its columns. ranked: whether methods have ranks by it; rankable: whether they could have."""

    name: str
    words: str
    axis: Markup
    note: str
    better: str
    ideal: float | None
    ranked: bool
    rankable: bool


@dataclass(frozen=True)
class Summary:
    """references: original and retrained models, for comparison; remarks: what a reader of the values must know.

    scales: of each measure.
    """

    headings: list[Heading]
    lines: list[Line]
    references: list[Line]
    remarks: list[str]
    scales: Mapping[str, Scale]


def summary(own: ResultSet, catalogue: Catalogue, names: Mapping[str, str]) -> Summary:
    """names: method -> its title spelled out."""
    columns = shown_columns(own, catalogue)
    scales = {column.name: measure_scale(own, column) for column in columns}
    lines = [_line(own, line, columns, scales, names) for _, line in in_order(own).iterrows()]
    references = own.lines[own.lines["method"].isin(REFERENCES)]
    return Summary(
        headings=[_heading(own, column, scales[column.name]) for column in columns],
        lines=lines,
        references=[_line(own, line, columns, scales, names) for _, line in references.iterrows()],
        remarks=list(_remarks(own)),
        scales=scales,
    )


def shown_columns(own: ResultSet, catalogue: Catalogue) -> list[Column]:
    """The metrics of the ranking, then what measures of the reader's own found here."""
    added = [column for column in catalogue.added if column.shown and own.methods[f"{column.name}_mean"].notna().any()]
    return [*(catalogue[name] for name in own.metrics), *added]


def measure_scale(own: ResultSet, column: Column) -> Scale:
    """One axis for all methods: it holds every seed, every interval and the references."""
    values = [own.values(str(method), column.name) for method in own.lines["method"]]
    ends = [end for one in values for end in mean_interval(one) or () if _possible(column, end)]
    return scale_of(column, [*np.concatenate(values).tolist(), *ends])


def _possible(column: Column, value: float) -> bool:
    return (column.low is None or value >= column.low) and (column.high is None or value <= column.high)


def in_order(own: ResultSet) -> pd.DataFrame:
    """The lines of methods: by rank of the first metric, of the second, then by the first mean; who failed is last."""
    lines = own.methods
    keys = {f"{metric}_rank": lines["method"].map(_ranks(own, metric)) for metric in own.metrics}
    keyed = lines.assign(**keys, failed=lines["status"] != "", by_title=lines["method_title"].str.casefold())
    order = ["failed", *keys, *(f"{metric}_mean" for metric in own.metrics), "by_title"]
    return keyed.sort_values(order)


def _ranks(own: ResultSet, metric: str) -> pd.Series[int]:
    return pd.Series(dtype="int64") if own.ranking is None else own.ranking.ranks[metric]


def _line(
    own: ResultSet, line: pd.Series, columns: list[Column], scales: Mapping[str, Scale], names: Mapping[str, str]
) -> Line:
    method, title = str(line["method"]), str(line["method_title"])
    full = names.get(method, "")
    return Line(
        method=method,
        title=title,
        full=full if full.casefold() != title.casefold() else "",
        measures=[_measured(own, line, column, scales[column.name]) for column in columns],
        rte=None if pd.isna(line["RTE_mean"]) else float(line["RTE_mean"]),
        usable=str(line["usable"]),
        state=str(line["status"]),
        why=str(line["reason"]),
    )


def _measured(own: ResultSet, line: pd.Series, column: Column, scale: Scale) -> Measured:
    seeds = own.values(str(line["method"]), column.name)
    mean = None if pd.isna(line[f"{column.name}_mean"]) else float(line[f"{column.name}_mean"])
    rank = _ranks(own, column.name).get(line["method"]) if column.name in own.metrics else None
    doubt = f" {UNDERSTATED}" if column.name in UNDERSTATES and line["n_contradicted"] else ""
    return Measured(
        rank="" if rank is None else str(rank),
        text="n/a" if mean is None else f"{mean:{column.digits}}{doubt}",
        value=mean,
        drawing=strip(scale, seeds.tolist(), mean, mean_interval(seeds), line["status"] == FAILED),
    )


def _heading(own: ResultSet, column: Column, scale: Scale) -> Heading:
    return Heading(
        name=column.name,
        words=WORDS.get(column.name, column.meaning),
        axis=axis(scale),
        note=scale.note,
        better=column.better,
        ideal=column.best if column.better == "ideal" else None,
        ranked=column.name in own.metrics_ranked,
        rankable=column.name in own.metrics,
    )


def _remarks(own: ResultSet) -> Iterator[str]:
    least = f"no intervals below {FEWEST_SEEDS} seeds"
    told = "bars are 95 % intervals of the mean" if own.seeds >= FEWEST_SEEDS else least
    yield f"Dots are means over usable models, ticks are seeds, {told}."
    if floor := floors(own.rows):
        yield (
            f"Where nothing differs, 95 % of models have an Indisc above {floor['Indisc_floor_end']:.3f} "
            f"({samples_on_each_side(own.rows)} samples on each side of the attack)."
        )
    if own.metrics_ranked:
        yield (
            f"Methods of one group share a rank; of those with equal ranks by {' and '.join(own.metrics)} the smaller "
            f"{own.metrics[0]} stands first."
        )
    if own.methods["n_contradicted"].any():
        yield f"{UNDERSTATED} the order of the losses contradicts this Indisc: read Disc_AUC among all scores."
