"""Which measure catches which cheat: cheats run through all measures, beside models that were honestly retrained.

    OMP_NUM_THREADS=1 python scripts/cheats.py results=DIR [seeds=10] [page=docs/cheats.md]

Real training on the digits, then every cheat of scripts/cheating/ and three methods on each seed. What is stored in DIR
is not computed again: a measure that was added since is computed for the stored models. Prints the matrix; with page=
it is put into that page in place of the last one, and `limits:` of each measure's YAML names what it does not catch.
The values are in DIR/cheats.csv. measures=[NAME,...]: these instead of all that judge a model (those of cost do not);
values=FILE: other hyper-parameters; setting="NAME=VALUE ...": further options of the sweep.

The rule. `again` retrains from scratch under another random state: an honest answer, judged like any other. A model
passes a column of scores if it is no worse there than the worst honest model: higher, lower or further from the ideal.
Where the retrained model's value is to be met, it passes within the range of all retrained models, `again` and those of
the sweep. A column catches a cheat of which no model passes. It is fooled where so many pass that the cheat's models
could be honest ones: no more fail than of honest models fail in over 5 % of cases. In between the group differs and
single models pass. A measure over all seeds has one value for each method: it catches a cheat whose 95 % interval lies
wholly on the worse side of that of `again`.
"""

from __future__ import annotations

import itertools
import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepunlearn import sweep
from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.records import collect
from deepunlearn.cli import run_main, wants_help
from deepunlearn.config.measures import known_measures
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.core.paths import shipped, write_atomically
from deepunlearn.core.provenance import commit
from deepunlearn.core.words import paragraph
from deepunlearn.metrics.catalogue import BUILT_IN, Catalogue
from deepunlearn.registry import Folders

FOLDER = Path(__file__).parent / "cheating"
CHEATS = {
    "unchanged": "the original as it is",
    "destroyed": "all weights drawn anew",
    "new_head": "the last layer drawn anew",
    "softened": "logits times 0.1",
    "sharpened": "logits times 100",
    "mislabelled": "D_F learnt by heart with wrong labels",
    "flipped": "a filter flips all predictions on D_F",
    "flipped_some": "it flips as few as look honest",
}
HONEST = "again"
METHODS = ("ft", "ct", "msg")
SETTING = ("dataset=digits", "dataset.limit=500", "arch=filtered", "forget.ratio=0.2", "train.epochs=40", "search=none",
           "keep=weights", "runtime.threads=1")  # fmt: skip
OPTIONS: Mapping[str, str | bool] = {
    "results": "results/cheats",
    "seeds": "10",
    "measures": "judging",
    "page": "none",
    "values": str(FOLDER / "values.yaml"),
    "setting": "none",
}
BEGIN, END = "<!-- matrix -->", "<!-- end -->"
MARK = re.compile(r"; does not catch the cheats [^()]* \(docs/cheats\.md\)")
LEVEL = 0.05
ROUNDING = 1e-9
FEWEST_SEEDS = 5  # of a matrix that goes into a page
MOST = 3  # columns of a combination
SHOWN = 3  # combinations that the page names


@dataclass(frozen=True)
class Verdict:
    """Of a column on the models of one method: how many of them pass; chance: how many may fail of honest ones."""

    passing: int
    of: int
    chance: int

    @property
    def fooled(self) -> bool:
        return self.of > 0 and not self.catches and self.of - self.passing <= self.chance

    @property
    def catches(self) -> bool:
        return self.of > 0 and self.passing == 0

    @property
    def word(self) -> str:
        if not self.of:
            return "n/a"
        return "fooled" if self.fooled else "**catches**" if self.catches else f"{self.passing}/{self.of} pass"


def failing_by_chance(models: int, honest: int, sides: int) -> int:
    """The most of `models` honest ones that lie beyond all of `honest` others in more than 5 % of cases.

    sides: 1 where they may be beyond one end, 2 for either. All orders of the models are equally likely then: of
    C(models + honest, honest) orders in so many exactly k models lie beyond one end, or j beyond one and k - j beyond
    the other.
    """
    cases = math.comb(models + honest, honest)
    inside = (
        [math.comb(models - k + honest - sides, honest - sides) for k in range(models + 1)] if honest >= sides else []
    )
    exactly = [count * (1 if sides == 1 else k + 1) for k, count in enumerate(inside)]
    return max((k for k in range(len(exactly)) if sum(exactly[k:]) > LEVEL * cases), default=0)


def band(column: Column, honest: Sequence[float]) -> tuple[float, float]:
    """The values that pass, from the first to the second, where these are the honest models' ones."""
    if column.better == "ideal":
        assert column.best is not None
        widest = max(abs(value - column.best) for value in honest)
        return column.best - widest, column.best + widest
    low = -math.inf if column.better == "lower" else min(honest)
    return low, math.inf if column.better == "higher" else max(honest)


def verdict(column: Column, values: Sequence[float], honest: Sequence[float]) -> Verdict | None:
    """None where the honest models have no value to compare with."""
    if not honest:
        return None
    low, high = band(column, honest)
    sides = 2 if column.better == "retrained" else 1
    passing = sum(low - ROUNDING <= value <= high + ROUNDING for value in values)
    return Verdict(passing, len(values), failing_by_chance(len(values), len(honest), sides))


def over_seeds(column: Column, rows: pd.DataFrame) -> dict[str, Verdict | None]:
    """Of a column with one value for each method, by its interval; rows without one have none."""
    assert column.over is not None
    ends = [column.over.low, column.over.high]
    known = rows.dropna(subset=ends).groupby("method")[ends].first()
    if HONEST not in known.index:
        return dict.fromkeys((*CHEATS, *METHODS))
    low, high = known.loc[HONEST]
    worse = known[ends[1]] < low if column.better == "higher" else known[ends[0]] > high
    return {name: Verdict(int(not worse[name]), 1, 0) if name in worse else Verdict(0, 0, 0)
            for name in (*CHEATS, *METHODS)}  # fmt: skip


def judged(columns: Iterable[Column], rows: pd.DataFrame) -> dict[str, dict[str, Verdict]]:
    """Column -> method -> verdict, of the columns that say of a model how good it is."""
    matrix = {}
    for column in columns:
        if column.better == "neither" or column.type == "bool" or column.name not in rows:
            continue
        if column.over is not None:
            matrix |= _known(column, over_seeds(column, rows))
            continue
        honest = _values(rows, (HONEST, "retrained") if column.better == "retrained" else (HONEST,), column.name)
        line = {name: verdict(column, _values(rows, (name,), column.name), honest) for name in (*CHEATS, *METHODS)}
        matrix |= _known(column, line)
    return matrix


def _known(column: Column, line: Mapping[str, Verdict | None]) -> dict[str, dict[str, Verdict]]:
    """The line of a column, where its honest models have a value."""
    known = {name: one for name, one in line.items() if one is not None}
    return {column.name: known} if known else {}


def _values(rows: pd.DataFrame, methods: Sequence[str], column: str) -> list[float]:
    values: list[float] = rows.loc[rows["method"].isin(methods), column].dropna().astype(float).tolist()
    return values


def judging() -> list[str]:
    """All measures beside those of every row, but those of cost."""
    return [name for name, one in known_measures(Folders()).items() if one.kind != "cost"]


def columns_of(catalogue: Catalogue) -> Iterator[tuple[str, Column]]:
    """Measure and column of those that judge a model, not what it cost."""
    for measure in catalogue.measures:
        if measure.kind != "cost":
            bare = measure.over == "seeds"  # of those, columns without an interval cannot be judged
            yield from ((measure.name, column) for column in measure.columns if column.over or not bare)


def combinations(matrix: Mapping[str, Mapping[str, Verdict]]) -> list[tuple[str, ...]]:
    """The smallest sets of columns that together catch every cheat; empty where none of at most three does."""
    caught = {name: {cheat for cheat in CHEATS if line[cheat].catches} for name, line in matrix.items()}
    for size in range(1, MOST + 1):
        found = [
            names for names in itertools.combinations(caught, size)
            if set().union(*(caught[name] for name in names)) == set(CHEATS)
        ]  # fmt: skip
        if found:
            return found
    return []


def page_of(matrix: Mapping[str, Mapping[str, Verdict]], owners: Mapping[str, str], told: str) -> str:
    """The matrix as Markdown."""
    head = ["measure", "column", *(name.replace("_", " ") for name in CHEATS), "caught", *METHODS]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for column, line in matrix.items():
        caught = sum(line[name].catches for name in CHEATS)
        words = [*(line[name].word for name in CHEATS), str(caught), *(_passing(line[name]) for name in METHODS)]
        lines.append(f"| {owners[column]} | {column} | {' | '.join(words)} |")
    return "\n".join([paragraph(told), "", *lines, "", *map(paragraph, _counts(matrix)), ""])


def _passing(one: Verdict) -> str:
    return f"{one.passing}/{one.of}" if one.of else "n/a"


def _counts(matrix: Mapping[str, Mapping[str, Verdict]]) -> Iterator[str]:
    for name, words in CHEATS.items():
        caught = [column for column, line in matrix.items() if line[name].catches]
        fooled = [column for column, line in matrix.items() if line[name].fooled]
        yield f"- `{name}` ({words}): fools {len(fooled)} of {len(matrix)} columns, is caught by {len(caught)}" + (
            f": {', '.join(caught)}." if caught else "."
        )
    of_rows = {name: line for name, line in matrix.items() if name in {column.name for column in BUILT_IN.columns}}
    for words, columns in (("all columns", matrix), ("the columns of every row", of_rows)):
        sets = [" + ".join(names) for names in combinations(columns)]
        told = f"{len(sets)} that catch every cheat, among them {'; '.join(sets[:SHOWN])}" if sets else "none of three"
        yield f"- Smallest combinations of {words}: {told}."


def marked(limits: str, passing: Sequence[str]) -> str:
    """The line `limits:` of a measure's YAML, which names these cheats, those that none of its columns catches."""
    plain = MARK.sub("", limits.rstrip())
    mark = f"; does not catch the cheats {', '.join(passing)} (docs/cheats.md)" if passing else ""
    quoted = plain.endswith('"')
    return f'{plain[:-1]}{mark}"' if quoted else f"{plain}{mark}"


def mark(matrix: Mapping[str, Mapping[str, Verdict]], owners: Mapping[str, str]) -> None:
    """Say in the YAML of each measure of ours which cheats it does not catch."""
    for kind in ("measure", "attack"):
        for path in (shipped("conf") / kind).glob("*.yaml"):
            own = [line for column, line in matrix.items() if owners[column] == path.stem]
            if own:
                passing = [name for name in CHEATS if not any(line[name].catches for line in own)]
                lines = path.read_text(encoding="utf-8").splitlines()
                text = [marked(line, passing) if line.startswith("limits:") else line for line in lines]
                write_atomically(path, "\n".join([*text, ""]))


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(__doc__)
        return 0
    options = {name: str(value) for name, value in parse_options(arguments, OPTIONS).items()}
    results = Path(options["results"])
    command = shlex.join("results=DIR" if one.startswith("results=") else one for one in arguments)
    setting = [one for one in (*SETTING, *options["setting"].split()) if one != "none"]
    measures = f"[{','.join(judging())}]" if options["measures"] == "judging" else options["measures"]
    code = sweep.main([
        f"plugins={FOLDER}", f"hparams={options['values']}", f"method={','.join([*CHEATS, HONEST, *METHODS])}",
        f"results={results}", f"seeds={options['seeds']}", f"measures={measures}", *setting,
    ])  # fmt: skip
    records = collect(results)
    owners = {column.name: name for name, column in columns_of(records.catalogue)}
    matrix = judged((column for _, column in columns_of(records.catalogue)), records.rows)
    used = records.rows
    seeds = used["seed"].nunique()
    used[["method", "seed", *matrix]].to_csv(results / "cheats.csv", index=False)
    sizes, made = used.iloc[0], ", ".join(sorted(used["commit"].unique()))
    told = (
        f"`python scripts/cheats.py {command}` at commit {commit()}: {seeds} seeds, "
        f"{sizes['n_retain']} retained, {sizes['n_forget']} forgotten and {sizes['n_test']} test samples "
        f"({', '.join(setting)}); models made at commit {made}."
    )
    text = page_of(matrix, owners, told)
    print(text)
    if options["page"] != "none":
        put(Path(options["page"]), text, seeds)
        mark(matrix, owners)
    return code


def put(page: Path, text: str, seeds: int) -> None:
    """Put `text` between the marks of a page. Raises ConfigError where it rests on too few seeds."""
    if seeds < FEWEST_SEEDS:
        raise ConfigError(
            "the matrix of a page needs more seeds",
            given=f"seeds={seeds}",
            allowed=f"{FEWEST_SEEDS} or more",
            remedy="give more seeds, or leave page= out",
        )
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(page, f"{before}{BEGIN}\n{text}{END}{after}")


if __name__ == "__main__":
    sys.exit(run_main(main))
