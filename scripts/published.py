"""What known defects of published code do to score and rank: each case as written beside as published.

    python -m deepunlearn.sweep sweep=scripts/published/published.yaml results=DIR
    python scripts/published.py records=DIR[,DIR...] [page=FILE]

Reads records (or whole results folders), trains nothing and prints Markdown. First comes an overview: of a method its
change, of a measure how many models change in score and rank. Then each cell has two tables. Methods: scores of a
method as its paper has it and as a plug-in of scripts/published/ has it, the mean change over seeds, and the place of
each among the other methods. Measures: the same of each method, under the column as written and as published. Runs of
U-LiRA in DIR (python -m deepunlearn.lira sweep=ulira_small results=DIR) make a third: the attack on 0/1 correctness,
and what U-MIA says of the same models. It needs what is stored of each model, and is kept in DIR/records/ulira.csv.

The rule. Places are by the mean over seeds, 1 the best, equals share the mean of their places; where the value of the
retrained model is to be met, by the distance from it in the same seed. In brackets 95 % intervals: of a change
Student's t over seeds, of a place 1,000 draws of the seeds, the same for all methods. Below 5 seeds there are none. A
method with a model that is not usable, or has no value in some seed, has no place in that column. A defect changes the
score where the interval of the change does not hold 0, and the rank where the intervals of both places do not meet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from record_pages import columns_of, print_page
from scipy.stats import rankdata

from deepunlearn.analysis.inference import FEWEST_SEEDS, differences, mean_interval
from deepunlearn.analysis.records import FOLDER, gather
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.core.paths import Results, write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.forget.halves import HalvesForget
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import load_sweep
from deepunlearn.metrics.mia import discernibility, indiscernibility, loss_auc, mia_accuracy
from deepunlearn.ulira.attack import Attacked, Estimate, attack
from deepunlearn.ulira.attack_stage import Attacks, Models

METHODS = {
    "SSD squares the means of batches": ("ssd", "ssd_batch"),
    "SCRUB's teacher is the student": ("scrub", "scrub_shared"),
    "EU-k counts layers without parameters": ("euk", "euk_counted"),
    "SFRon's average is off": ("sfron", "sfron_fast"),
}
"""Case -> method as written, and as published."""
MEASURES = {
    "ZRF averages a reversed divergence": (("ZRF", "ZRF_coded"),),
    "the attack is trained on 20 %": (("MIA", "UMIA"),),
    "test data of all classes": (("Indisc", "Indisc_all"), ("Disc_AUC", "Disc_AUC_all")),
    "relearning alters the model": (
        *((name, f"{name}_relearnt") for name in ("RA", "FA", "TA", "Indisc")),
    ),
}  # fmt: skip
"""Case -> pairs of columns, as written and as published."""
JUDGED_BY = ("RetDev", "gap", "Indisc", "Disc_AUC")  # of methods; RetDev is not defined where a class is forgotten
HEAD = ["case", "column", "method", "as written", "as published", "change", "place as written", "place as published",
        "changes"]  # fmt: skip
UNKNOWN = "n/a"  # of a method that has no value in some seed, or a model that is not usable
TOO_FEW = "too few seeds"  # for an interval
ULIRA_HEAD = ["cell", "method", "accuracy", "accuracy by correctness", "AUC", "AUC by correctness", "Indisc",
              "Disc_AUC"]  # fmt: skip
ULIRA_FILE = f"{FOLDER}/ulira.csv"
DRAWS = 1000

Floats = npt.NDArray[np.float64]


def table_of(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Seeds x methods, the values of a column of usable models; methods that lack one in some seed are left out."""
    values = rows[column].astype(float).where(rows["usable"].astype(bool))
    table = rows.assign(value=values).pivot(index="seed", columns="method", values="value")
    return table.dropna(axis=1)


def badness(table: pd.DataFrame, column: Column) -> pd.DataFrame:
    """The same, lower is better, without references. Empty where the retrained model's value is needed and missing."""
    own = table.drop(columns=[name for name in REFERENCES if name in table])
    if column.better == "higher":
        return -own
    if column.better == "ideal":
        return own.map(column.distance)
    if column.better == "retrained":
        if "retrained" not in table:
            return own.iloc[:, :0]
        return own.sub(table["retrained"], axis=0).abs()
    return own


class Place(NamedTuple):
    """Of a mean, 1 the best; low and high: its interval, None below 5 seeds."""

    at: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.at:g}" if self.low is None else f"{self.at:g} [{self.low:g}, {self.high:g}]"


class Change(NamedTuple):
    """Mean of published - written over seeds, and its interval."""

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, written: Floats, published: Floats) -> Change:
        """Of values [seeds]."""
        found = differences(published, written)
        return cls(float(found.mean()), mean_interval(found))

    def __str__(self) -> str:
        told = f"{self.mean:+.3f}"
        return told if self.interval is None else f"{told} [{self.interval[0]:+.3f}, {self.interval[1]:+.3f}]"


def places(table: pd.DataFrame) -> dict[str, Place]:
    """Method -> place of its mean and the interval of that; table: seeds x methods, lower is better."""
    values = table.to_numpy(float)
    found = rankdata(values.mean(axis=0)).tolist()
    if len(values) < FEWEST_SEEDS or values.shape[1] == 0:
        return {name: Place(at) for name, at in zip(table.columns, found, strict=True)}
    chosen = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    drawn = rankdata(values[chosen].mean(axis=1), axis=1)
    ends = np.percentile(drawn, [2.5, 97.5], axis=0, method="nearest").tolist()
    return {name: Place(*one) for name, *one in zip(table.columns, found, *ends, strict=True)}


def verdict(change: Change, written: Place | None, published: Place | None) -> str:
    """What can be said to change: the score where its interval does not hold 0, the rank where the places' do not meet.

    Nothing can where there are no intervals.
    """
    if change.interval is None:
        return TOO_FEW
    low, high = change.interval
    changed = ["score"] if low > 0 or high < 0 else []
    if written is not None and published is not None:
        assert None not in (*written, *published), "scores have as many seeds as places"
        apart = max(written.low, published.low) > min(written.high, published.high)  # type: ignore[type-var]
        changed += ["rank"] if apart else []
    return " and ".join(changed) or "nothing seen"


def of_methods(rows: pd.DataFrame, columns: Mapping[str, Column]) -> Iterator[list[str]]:
    """A line for each case and column; each of the two is placed among the other methods, without its counterpart."""
    run, defective = set(rows["method"]), {published for _, published in METHODS.values()}
    for case, pair in METHODS.items():
        for name in JUDGED_BY if set(pair) <= run else ():
            bad = badness(table := table_of(rows, name), columns[name])
            others = [one for one in bad if one not in {*defective, pair[0]}]
            found = [places(bad[[*others, one]])[one] if one in bad else None for one in pair]
            yield _line(case, name, pair[0], [table.get(one) for one in pair], found)


def of_measures(rows: pd.DataFrame, columns: Mapping[str, Column]) -> Iterator[list[str]]:
    """A line for each case, pair of columns and model, retrained ones among them; the methods are as written."""
    rows = rows[~rows["method"].isin([published for _, published in METHODS.values()])]
    for case, pairs in MEASURES.items():
        for pair in (pair for pair in pairs if set(pair) <= set(rows) & set(columns)):
            tables = [table_of(rows, name) for name in pair]
            common = [name for name in tables[0] if name in tables[1]]
            found = [places(badness(table[common], columns[name])) for table, name in zip(tables, pair, strict=True)]
            for method in dict.fromkeys(rows["method"]):
                own = [one.get(method) for one in found]
                yield _line(case, " / ".join(pair), method, [table.get(method) for table in tables], own)


def _line(
    case: str, column: str, method: str, sides: Sequence[pd.Series[float] | None], found: Sequence[Place | None]
) -> list[str]:
    """sides: values [seeds] as written and as published, None where a model is not usable or has no value."""
    told = [UNKNOWN if side is None else f"{side.mean():.3f}" for side in sides]
    texts = ["" if one is None else str(one) for one in found]
    written, published = sides
    if written is None or published is None:
        return [case, column, method, *told, "", *texts, ""]
    change = Change.of(written.to_numpy(), published.to_numpy())
    return [case, column, method, *told, str(change), *texts, verdict(change, *found)]


def overview(cells: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[list[str]]:
    """A line for each case and column; cells: title -> its lines, as of `of_methods` and `of_measures`.

    Of a method its change; of a measure how many models have another score or place, of those that have any.
    """
    for case, column in dict.fromkeys((line[0], line[1]) for lines in cells.values() for line in lines):
        yield [case, column, *(_told([one for one in lines if one[:2] == [case, column]]) for lines in cells.values())]


def _told(lines: Sequence[Sequence[str]]) -> str:
    known = [line for line in lines if line[HEAD.index("change")]]
    if not known:
        return UNKNOWN
    if known[0][0] in METHODS:
        return f"{known[0][HEAD.index('change')]}: {known[0][-1]}"
    if known[0][-1] == TOO_FEW:
        return TOO_FEW
    placed = [line for line in known if line[HEAD.index("place as written")]]
    scores, ranks = ([line for line in known if what in line[-1]] for what in ("score", "rank"))
    return f"score: {len(scores)} of {len(known)}, rank: {len(ranks)} of {len(placed)}"


def check_sets(rows: pd.DataFrame) -> None:
    """Raises ConfigError where a model of a seed is there several times: nothing says which is meant."""
    several = rows[rows.duplicated(["cell", "method", "seed"])]
    if len(several):
        raise ConfigError(
            "a method has several result sets in a cell",
            given=", ".join(sorted(set(several["method"]))),
            allowed="one for each method and cell",
            remedy="run sweep=scripts/published/published.yaml with a results= of its own",
        )


def by_correctness(models: Models) -> Attacked:
    """U-LiRA's attack on whether a model is right, 0 or 1, in place of its scaled confidence.

    Raises ConfigError for models of earlier versions, which do not say that.
    """
    if models.right is None:
        raise ConfigError(
            "models of U-LiRA do not say which samples they get right",
            given="models that an earlier version stored",
            allowed="models of this version",
            remedy="run python -m deepunlearn.lira in an empty results folder",
        )
    right = models.right.astype(np.float32)
    return attack(right, models.pair, models.positive["forgotten"], models.never)


def by_loss(models: Models) -> tuple[float, float]:
    """Indisc and Disc_AUC of the models that U-LiRA attacks, the mean over them.

    U-MIA is given the losses of what a model forgot and of what it never saw: -log p = log(1 + exp(-phi)).
    """
    losses = np.logaddexp(0, -models.phi.astype(float))
    sides = [(one[models.positive["forgotten"][row]], one[models.never[row]]) for row, one in enumerate(losses)]
    accuracies = [indiscernibility(mia_accuracy(*side, seed)) for seed, side in enumerate(sides)]
    return float(np.mean(accuracies)), float(np.mean([discernibility(loss_auc(*side)) for side in sides]))


def attacked_in(folder: Path) -> list[list[str]]:
    """What `of_ulira` gives of a results folder; of records without a store what it gave when there was one."""
    file = folder / ULIRA_FILE
    if not Results(folder).store.is_dir():
        return pd.read_csv(file, dtype=str).to_numpy().tolist() if file.is_file() else []
    if lines := list(of_ulira(folder)):
        write_atomically(file, pd.DataFrame(lines, columns=ULIRA_HEAD).to_csv(index=False, lineterminator="\n"))
    return lines


def of_ulira(results: Path) -> Iterator[list[str]]:
    """A line for each cell and method of U-LiRA's runs whose models are all there."""
    for path in sorted(results.glob("runs/*/sweep.json")):
        sweep = load_sweep(path).model_copy(update={"results": str(results)})
        for cell in [place for place, one in enumerate(sweep.cells) if isinstance(one.forget, HalvesForget)]:
            attacks = Attacks(Planner(sweep, Progress(quiet=True), only_plan=True), cell)
            for method in (*REFERENCES, *attacks.planner.methods):
                if (models := attacks.models(method)) is not None:
                    phi = attack(models.phi, models.pair, models.positive["forgotten"], models.never)
                    losses = [f"{one:.3f}" for one in by_loss(models)]
                    yield [sweep.cells[cell].name, method, *_estimates(phi, by_correctness(models)), *losses]


def _estimates(written: Attacked, published: Attacked) -> Iterator[str]:
    for name in ("accuracy", "auc"):
        for one in (written, published):
            estimate: Estimate = getattr(one, name)
            yield f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of text."""
    return "\n".join(f"| {' | '.join(one)} |" for one in (head, ["---"] * len(head), *lines))


def page_of(rows: pd.DataFrame, columns: Mapping[str, Column], attacked: Sequence[Sequence[str]]) -> str:
    """All tables. rows: of current models; attacked: what `of_ulira` gives."""
    check_sets(rows)
    parts, cells = [], dict[str, list[list[str]]]()
    for _, own in rows.groupby("cell", sort=False):
        first, seeds = own.iloc[0], own["seed"].nunique()
        title = f"{first['dataset_title']}, {first['arch_title']}, {first['forget_title']}"
        parts.append(f"**{title}: {seeds} seeds**")
        found = [list(of_methods(own, columns)), list(of_measures(own, columns))]
        parts += [markdown(HEAD, lines) for lines in found if lines] or ["None of the cases is among these results."]
        cells[title] = [line for lines in found for line in lines]
    if any(cells.values()):
        parts.insert(0, markdown(["case", "column", *cells], list(overview(cells))))
    if attacked:
        parts += ["**U-LiRA, on 0/1 correctness, and U-MIA on the same models**", markdown(ULIRA_HEAD, attacked)]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    return print_page(arguments, told=__doc__, records="results/published", page_of=made_of)


def made_of(folders: Sequence[Path]) -> str:
    """The page of the results in `folders`. Raises ConfigError where there are none."""
    records, attacked = gather(folders), [line for one in folders for line in attacked_in(one)]
    rows = current(records.rows)
    if rows.empty and not attacked:
        raise ConfigError(
            "there are no results to compare",
            given=f"records={','.join(map(str, folders))}",
            allowed="folders with results of sweep=scripts/published/published.yaml, or of deepunlearn.lira",
            remedy=f"python -m deepunlearn.sweep sweep=scripts/published/published.yaml results={folders[0]}",
        )
    return page_of(rows, columns_of(records), attacked)


if __name__ == "__main__":
    sys.exit(run_main(main))
