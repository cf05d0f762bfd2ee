"""The hyper-parameter search of a sweep (protocol section 6), as one of the models of `core.schema`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from deepunlearn.core.validation import Frozen, PositiveInt, Unfit

OF_ONE_LOSS = ("cmaes", "gp")  # samplers that learn from one number
OF_GENERATIONS = ("nsga3", "random")  # whose trials of a generation, or all, do not learn from each other
# switches that results of earlier versions do not have
LATER_OF_SEARCH = ("shared", "from_defaults", "pruner", "look_samples", "stops_early")
FEWEST_OF_LOOK = 10  # samples of each part: the attack needs so many


class SearchConfig(Frozen):
    """What searches, how often, and which of the trials wins."""

    name: str
    title: str
    sampler: Literal["nsga3", "tpe", "cmaes", "gp", "random"] | None  # null: no search
    objective: Literal["four", "sum"] | None  # minimise all four losses, or their sum; null: no search
    trials: Annotated[int, Field(ge=0)]  # per study
    seeds: Annotated[int, Field(ge=0)]  # number of studies, one per search seed
    space: Literal["paper", "ours"]  # ranges of the paper, or ours where these cannot work
    max_epochs: PositiveInt | None  # E_max; null: max(3, ceil(0.2 x training epochs))
    storage: str | None  # sqlite, journal or an Optuna storage URL; null: sqlite, and journal with launcher=slurm
    population_size: Annotated[int, Field(ge=2)] | None = None  # NSGA-III and CMA-ES
    prune: bool = False  # stop hopeless trials before their end
    pruner: Literal["median", "halving"] = "median"  # which: the worse half from half of their epochs on, or in rungs
    look_samples: Annotated[int, Field(ge=FEWEST_OF_LOOK)] | None = None  # of each part, before the end; null: all
    selection: Literal["paper", "robust"] = "paper"
    candidates: PositiveInt = 5  # of selection=robust
    shared: bool = False  # one study of all search seeds, each trial on one of them
    from_defaults: bool = False  # a first trial has the default values
    stops_early: bool = False  # where another trial is expected to gain less than seeds differ
    together: PositiveInt = 1  # trials that a process runs at once, where neither method nor network forbids it
    winners: dict[str, dict[str, Any]] = Field(default_factory=dict)  # and the next ones these (search.winners=FILE)

    @model_validator(mode="after")
    def _consistent(self) -> SearchConfig:
        if self.sampler is not None and (self.trials < 1 or self.seeds < 1):
            raise Unfit(
                "a search needs trials and seeds",
                given=f"search.trials={self.trials}, search.seeds={self.seeds}",
                allowed="search.trials >= 1 and search.seeds >= 1",
                remedy="raise them, or give search=none to use default or given values",
            )
        if self.sampler is not None and self.objective is None:
            raise Unfit(
                "a search needs an objective",
                given=f"search.sampler={self.sampler}, search.objective=null",
                allowed="search.objective=four or sum",
                remedy="give search.objective=four, or search=none to use default or given values",
            )
        if self.sampler in OF_ONE_LOSS and self.objective == "four":
            raise Unfit(
                "this sampler learns from one loss",
                given=f"search.sampler={self.sampler}, search.objective=four",
                allowed=f"search.sampler={' or '.join(OF_ONE_LOSS)} with search.objective=sum",
                remedy="give search.objective=sum, or search.sampler=nsga3, tpe or random",
            )
        if self.prune and self.objective == "four":
            raise Unfit(
                "trials with four losses cannot be pruned",
                given="search.prune=true, search.objective=four",
                allowed="search.prune=true with search.objective=sum, or search.prune=false",
                remedy="give search.objective=sum search.sampler=tpe, or leave search.prune out",
            )
        if not self.prune and (self.pruner != "median" or self.look_samples is not None):
            raise Unfit(
                "trials that are not pruned are not looked at before their end",
                given=f"search.prune=false, search.pruner={self.pruner}, search.look_samples={self.look_samples}",
                allowed="search.pruner and search.look_samples with search.prune=true",
                remedy="give search.prune=true, or search.pruner=median search.look_samples=null",
            )
        if self.shared and self.selection != "robust":
            raise Unfit(
                "the trials of a shared study are on different seeds, so that one norm says little against another",
                given=f"search.shared=true, search.selection={self.selection}",
                allowed="search.shared=true with search.selection=robust",
                remedy="give search.selection=robust, which runs the best candidates on all search seeds",
            )
        return self

    @model_validator(mode="after")
    def _knows_how_seeds_differ(self) -> SearchConfig:
        if self.stops_early and not (self.shared and self.from_defaults and self.seeds > 1 and self.objective == "sum"):
            raise Unfit(
                "how much seeds differ is known from default values on each of them",
                given=f"search.stops_early=true, search.shared={str(self.shared).lower()}, search.from_defaults="
                f"{str(self.from_defaults).lower()}, search.seeds={self.seeds}, search.objective={self.objective}",
                allowed="search.stops_early=true with search.shared=true, search.from_defaults=true, search.seeds >= 2 "
                "and search.objective=sum",
                remedy="give search=thrifty search.stops_early=true, or leave search.stops_early out",
            )
        return self

    @model_validator(mode="after")
    def _together_only_where_trials_do_not_learn_from_each_other(self) -> SearchConfig:
        if self.together > 1 and (self.sampler not in OF_GENERATIONS or self.prune or self.stops_early):
            raise Unfit(
                "trials that learn from each other cannot run together",
                given=f"search.together={self.together}, search.sampler={self.sampler or 'null'}, search.prune="
                f"{str(self.prune).lower()}, search.stops_early={str(self.stops_early).lower()}",
                allowed=f"search.together with search.sampler={' or '.join(OF_GENERATIONS)}, search.prune=false and "
                "search.stops_early=false",
                remedy="give search=paper search.together=8, or leave search.together out",
            )
        return self

    @property
    def studies(self) -> int:
        """How many studies a cell and method has."""
        return min(1, self.seeds) if self.shared else self.seeds

    @property
    def identity(self) -> dict[str, Any]:
        """What tells tables apart beside winners: all but names; later fields only where they say something."""
        later = {name for name in LATER_OF_SEARCH if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(exclude={"title", "storage", "winners", "together", *later})
