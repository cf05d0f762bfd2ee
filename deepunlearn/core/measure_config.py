"""The validated form of a measure's YAML: its columns, what they mean and which way is better."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from deepunlearn.core.validation import Frozen, PositiveInt, Unfit

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]
Need = Literal["logits", "weights", "models", "call", "training"]


class Term(Frozen):
    """names: columns that it explains; reference: the value to compare with, and which way is better."""

    names: tuple[Text, ...]
    formula: Text
    reference: Text


class OverSeeds(Frozen):
    """Of a column of a measure over seeds: the columns of its 95 % interval and of what chance gives, and how many
    models there are; fewest: it is None of fewer.
    """

    low: Name
    high: Name
    chance: Name
    models: Name
    fewest: PositiveInt


class Column(Frozen):
    """One number per model, None where it is not defined."""

    name: Name
    meaning: Text
    type: Literal["float", "bool"] = "float"
    low: float | None = 0.0
    high: float | None = None
    unit: str = ""
    better: Literal["lower", "higher", "ideal", "retrained", "neither"]  # ideal: near `best`, from either side
    best: float | None = None  # the value that none can pass; of ideal: the value to meet
    scale: Literal["linear", "log"] = "linear"  # log, of positive ratios: half of `best` is as far off as twice of it
    hint: str = ""  # stands in the header instead of `best`
    word: str = ""  # what the best methods are called in captions: lowest, highest or this
    digits: Annotated[str, Field(pattern=r"^\.\d+[fg]$")] = ".3f"
    shown: bool = True  # false: in rows and records only
    sparse: bool = False  # true: shown only in tables where some model has a value
    over: OverSeeds | None = None  # of a measure over seeds, one number per method

    @model_validator(mode="after")
    def _ideal_is_known(self) -> Column:
        if self.better == "ideal" and self.best is None:
            raise Unfit(
                f"column {self.name} is best near an ideal value, but has none",
                given="better: ideal without best",
                allowed="better: ideal with best: NUMBER",
                remedy="add best, or say lower, higher, retrained or neither",
            )
        return self

    @model_validator(mode="after")
    def _ratio_has_a_positive_best(self) -> Column:
        if self.scale == "log" and not (self.best or 0) > 0:
            raise Unfit(
                f"column {self.name} is told by its logarithm, but has no positive best value",
                given=f"scale: log, best: {self.best}",
                allowed="scale: log with best: a number above 0",
                remedy="add best, or leave scale out",
            )
        return self

    def distance(self, values: Any) -> Any:
        """How far numbers, or arrays of them, are from `best`, which there is."""
        assert self.best is not None
        return abs(values - self.best) if self.scale == "linear" else abs(np.log(values / self.best))

    @property
    def header(self) -> str:
        """The column's title in tables, with the direction that is better."""
        arrow = {"lower": " ↓", "higher": " ↑"}.get(self.better, "")
        known = "" if self.best is None else f"{'ideal' if self.better == 'ideal' else 'best'} {self.best:g}"
        told = self.hint or known
        return f"{self.name}{arrow}" + (f" ({told})" if told else "")

    @property
    def reference(self) -> str:
        """The glossary's last column, of a measure that has no words of its own for it."""
        if self.better == "ideal":
            return f"{self.best:g}: closer is better"
        if self.better == "retrained":
            return "that of the retrained model: closer is better"
        best = "" if self.best is None else f"{self.best:g}: "
        return best + ("neither direction is better" if self.better == "neither" else f"{self.better} is better")

    @property
    def range(self) -> str:
        """The values it may have, in words."""
        if self.type == "bool":
            return "true, false or None"
        limits = [f" {word} {end:g}" for word, end in (("from", self.low), ("to", self.high)) if end is not None]
        return f"a finite number{''.join(limits)} or None"

    @property
    def annotation(self) -> Any:
        """The type that pydantic checks values by, None apart."""
        return bool if self.type == "bool" else Annotated[
            float, Field(ge=self.low, le=self.high, allow_inf_nan=False)
        ]  # fmt: skip


class Described(Frozen):
    """What the YAML of a measure or an attack says to people and to `measures=`, beside what its values mean.

    default: whether a sweep computes it unasked; alone: whether it can do without the retrained model; slow: whether it
    takes seconds or more for each model; once: whether only for one seed of a method, whose values the others then
    have; repeatable: whether a model always gets the same values, unlike those of a meter; sets: names of sets that it
    belongs to, for `measures=`. In words, for people: cost: what computing it takes; limits: what it does not say;
    undefined: when its columns are None.
    """

    default: bool = True
    alone: bool = False
    slow: bool = False
    once: bool = False
    repeatable: bool = True
    sets: tuple[Name, ...] = ()
    cost: str = ""
    limits: str = ""
    undefined: str = ""


FOR_PEOPLE = tuple(Described.model_fields)  # fields that say nothing of stored values


class Measure(Described):
    """A measure's YAML. kind: how good the model is, what an attack on it finds, or what it cost."""

    name: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*|sklearn\.\w+\(.*\))$")]
    version: PositiveInt  # bump when its values would come out differently
    title: Text
    source: Text
    kind: Literal["score", "attack", "cost"]
    needs: Annotated[tuple[Need, ...], Field(min_length=1)]  # what it looks at
    over: Literal["models", "seeds"] = "models"  # seeds: at all models of a method together, `metrics.added.Group`
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    terms: tuple[Term, ...] = ()  # where empty, each shown column explains itself
    function: Literal["measure", "membership", "scikit"] = "measure"  # of its code; membership: of an Attack
    module: str | None = None  # where its code is, if it is not ours
    code: str | None = None  # digest of that code's files

    @model_validator(mode="after")
    def _seeds_have_logits(self) -> Measure:
        if self.over == "seeds" and self.needs != ("logits",):
            raise Unfit(
                f"measure {self.name} looks at more of the models of all seeds than there is",
                given=f"over: seeds, needs: [{', '.join(self.needs)}]",
                allowed="over: seeds with needs: [logits]",
                remedy="compute it from logits, or leave over: out",
            )
        return self

    @model_validator(mode="after")
    def _intervals_have_columns(self) -> Measure:
        names = {one.name for one in self.columns}
        for column in self.columns:
            told = column.over
            missing = {told.low, told.high, told.chance, told.models} - names if told else set[str]()
            if missing or (told and self.over != "seeds"):
                raise Unfit(
                    f"column {column.name} has its interval in what is not there",
                    given=f"over: {self.over} of the measure, columns {', '.join(sorted(names))}; "
                    f"not among them: {', '.join(sorted(missing)) or 'none'}",
                    allowed="over: of a column in a measure over seeds, with names of its columns as low, high, chance "
                    "and models",
                    remedy="add or rename the columns, or leave over: of the column out",
                )
        return self

    @property
    def glossary(self) -> tuple[Term, ...]:
        own = (
            Term(names=(one.name,), formula=one.meaning, reference=one.reference) for one in self.columns if one.shown
        )
        return self.terms or tuple(own)

    @property
    def label(self) -> str:
        """What tells it from other versions and other code of its name, in failures."""
        return f"{self.name}, version {self.version}" + (f", code {self.code}" if self.code else "")

    @property
    def description(self) -> str:
        """What tables need to know of it, as JSON; kept with its values, which can then be read without its files."""
        return self.model_dump_json(exclude={"module", "function", *FOR_PEOPLE}, exclude_defaults=True)


TOO_FEW = "fewer than 10 samples of D_F, or of D_T that are like them"  # where no attack is defined


class Attack(Described):
    """An attack's YAML. Its code gives each sample a number, higher for likelier members; two columns follow."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: PositiveInt  # bump when its numbers would come out differently
    title: Text
    source: Text
    column: Name  # what the columns' names begin with

    def as_measure(self, module: str | None, code: str | None) -> Measure:
        """The measure of how well it tells D_F from D_T."""
        chance = {"high": 1, "better": "ideal", "digits": ".3f"}
        auc = f"area under the ROC curve of the attack by {self.title}, D_F against D_T; 0.5 is chance"
        tpr = f"share of D_F that the attack by {self.title} finds with 1 % of D_T above its threshold; 0.01 is chance"
        columns = [
            {"name": f"{self.column}_AUC", "best": 0.5, "meaning": auc, **chance},
            {"name": f"{self.column}_TPR", "best": 0.01, "meaning": tpr, **chance},
        ]
        own = {**self.model_dump(exclude={"column"}), "alone": True, "undefined": self.undefined or TOO_FEW}
        values = {**own, "kind": "attack", "needs": ["logits"], "columns": columns, "function": "membership"}
        return Measure.model_validate({**values, "module": module, "code": code})
