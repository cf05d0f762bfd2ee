"""What the questions of docs/findings.md look at: the models of one run in one cell, those that failed among them.

A run is known by its sweep file: records say of each model which run asked for it, whether it has a row or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from published import badness, table_of
from record_pages import columns_of

from deepunlearn.analysis.coverage import HOLES
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.rows import MODEL, REFERENCES, current
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column

CIFAR, MNIST = "CIFAR-10 x ResNet18", "MNIST x TinyViT"
CELLS = {CIFAR: "findings", MNIST: "findings_mnist"}  # -> the sweep file with its searched values
DEFAULTS, AS_THE_PAPER = "findings_defaults", "findings_paper"  # further ones on CIFAR-10
FF_PAPER, FF_OURS = "findings_ff", "findings_ff_ours"
PAPER = ("ft", "ga", "srl", "fcs", "msg", "cfw", "prmq", "ct", "kde", "rni", "salun", "cfk", "euk", "scrub", "bt", "ff",
         "iu", "ngplus")  # fmt: skip
NEWER = ("ssd", "l1sparse", "delete", "boundary_shrink", "jit", "amun", "sfron", "rum", "advneggrad")
METHODS = {CIFAR: (*PAPER, *NEWER), MNIST: PAPER}  # of each cell
NOT_RUN = "not run"
NO_END = (*HOLES, "not_applicable")  # outcomes that say nothing of a method


@dataclass(frozen=True)
class Cell:
    """models: a line for each that was asked for, with the values of its row; columns: of the catalogue, by name."""

    models: pd.DataFrame
    columns: Mapping[str, Column]

    @cached_property
    def seeds(self) -> int:
        return int(self.models["seed"].nunique())

    @cached_property
    def methods(self) -> list[str]:
        """Those that came to an end, be it a failure, on every seed."""
        ended = self.models[~self.models["outcome"].isin(NO_END)]
        return [str(name) for name, own in ended.groupby("method", sort=False) if len(own) == self.seeds]

    def lacking(self, methods: Sequence[str]) -> str:
        """Says which of `methods` were not run on every seed; empty where all were, and one word where none was."""
        missing = [name for name in methods if name not in self.methods]
        if len(missing) == len(methods):
            return NOT_RUN
        return f"{', '.join(missing)} {NOT_RUN}" if missing else ""

    def only(self, methods: Sequence[str]) -> Cell:
        return Cell(self.models[self.models["method"].isin(methods)], self.columns)

    def usable(self, method: str) -> tuple[int, int]:
        """Models that are usable, of how many."""
        own = self.models[self.models["method"] == method]
        return int(own["usable"].sum()), len(own)

    @cached_property
    def whole(self) -> list[str]:
        """Methods all of whose models are usable."""
        return [name for name in self.methods if self.usable(name) == (self.seeds, self.seeds)]

    def values(self, column: str) -> pd.DataFrame:
        """Seeds x methods that are `whole`, as stored; without those that lack a value on some seed."""
        if column not in self.models:
            return pd.DataFrame(index=sorted(set(self.models["seed"])))
        table = table_of(self.models, column)
        return table[[name for name in self.whole if name in table]]

    def bad(self, column: str) -> pd.DataFrame:
        """The same, lower is better."""
        return badness(self.values(column), self.columns[column]) if column in self.columns else self.values(column)

    def placed(self, column: str) -> pd.DataFrame:
        """The same, and behind all others the methods that are not usable everywhere."""
        return self.bad(column).assign(**{name: np.inf for name in self.methods if name not in self.whole})

    def told(self, column: str, method: str) -> str:
        """Its mean over seeds, or how many of its models are usable."""
        values = self.values(column)
        if method in values:
            return f"{values[method].mean():.3f}"
        return "n/a" if method in self.whole else f"usable {'/'.join(map(str, self.usable(method)))}"


@dataclass(frozen=True)
class Findings:
    """models: of all runs, the name of whose sweep file is in `run`; columns: of the catalogue, by name."""

    models: pd.DataFrame
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, records: Records) -> Findings:
        """All that was asked for, references left out."""
        rows, cases = current(records.rows), records.cases
        added = [name for name in rows if name in MODEL or name not in cases]
        models = cases[~cases["method"].isin(REFERENCES)].merge(rows[added], "left", MODEL)
        return cls(models.assign(run=models["run"].str.rpartition("-")[0]), columns_of(records))

    def cell(self, run: str) -> Cell | None:
        """None where nothing of the run was asked for. Raises ConfigError where it is of several settings."""
        own = self.models[self.models["run"] == run]
        cells, twice = sorted(set(own["cell"])), own[own.duplicated(["method", "seed"])]
        if len(cells) > 1 or len(twice):
            methods = ", ".join(sorted(set(twice["method"]))) or "none"
            raise ConfigError(
                f"records have several results of sweep={run}, and nothing says which count",
                given=f"cells: {', '.join(cells)}; methods that are there twice: {methods}",
                allowed="one cell, and each method once on each seed: the commands of docs/findings.md, one recipe",
                remedy="leave the folder of the other result out of records=, or delete its run where the store is "
                f"(runs/{run}-*), and there: python -m deepunlearn.tables results=DIR partial=true",
            )
        return None if own.empty else Cell(own, self.columns)
