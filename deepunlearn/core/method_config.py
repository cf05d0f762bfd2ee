"""The validated form of a method's YAML: what it reads, its hyper-parameters, and those that a command fixes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from deepunlearn.core.errors import unknown
from deepunlearn.core.params import MASK_SHARES, MASK_THRESHOLD, ParamSpec, Range, Role, Value
from deepunlearn.core.validation import Frozen, PositiveFloat, PositiveInt, Unfit

Records = Literal["updates", "shards"]  # what is recorded while the original is trained, in a stage of its own
Needs = Literal["updates", "shards", "difficulty"]  # what of the learning phase a method asks for
Meta = Literal["chain", "rum"]  # what runs the steps of a method that is made of methods
NOTHING = "none"  # a step of rum that leaves its part of the forget set as it is

TENTHS = 10  # yields of a run for its steps, where it counts steps in place of epochs


class MaskConfig(Frozen):
    """A mask on a gradient method: only some weights may move.

    kind=saliency: the fraction `threshold` of all weights, by the gradient on the forget set (SalUn). kind=layerwise:
    in each layer a random share, from `first` in the first layer to `last` in the last by `power` of the depth.
    """

    kind: Literal["saliency", "layerwise"] = "saliency"  # by the gradient on the forget set, or a share of each layer
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None  # share of all weights that may move; null: no mask
    search: bool = False  # search threshold, or first, last and power: those that are null
    first: Annotated[float | None, Field(ge=0, le=1)] = None  # share that may move in the first layer; null: 0.1
    last: Annotated[float | None, Field(ge=0, le=1)] = None  # the same in the last layer; null: 1
    power: Annotated[float | None, Field(gt=0)] = None  # how the share goes from first to last; null: 1, evenly

    @property
    def shares(self) -> dict[str, float | None]:
        """The values of a layer-wise mask, by the name of its hyper-parameter."""
        return dict(zip(MASK_SHARES, (self.first, self.last, self.power), strict=True))

    @model_validator(mode="after")
    def _of_one_kind(self) -> MaskConfig:
        others = {MASK_THRESHOLD: self.threshold} if self.kind == "layerwise" else self.shares
        given = {name: value for name, value in others.items() if value is not None}
        if given:
            own = MASK_SHARES if self.kind == "layerwise" else (MASK_THRESHOLD,)
            raise Unfit(
                f"method.{next(iter(given))} is not of a mask of kind {self.kind}",
                given=", ".join(f"method.{name}={value}" for name, value in given.items()),
                allowed=", ".join(f"method.{name}" for name in own),
                remedy="give method.mask.kind=saliency with threshold, or kind=layerwise with first, last, power",
            )
        return self


class ContractConfig(Frozen):
    """Hyper-parameters for the contract tests, where their quick values would leave something without effect."""

    params: dict[str, Any] = Field(default_factory=dict)
    val: dict[str, Any] = Field(default_factory=dict)  # over these, where validation data is to matter
    seeded: bool = True  # false: nothing of a run is drawn, so that other seeds give the same model


class MethodConfig(Frozen):
    """A method's YAML: identity, what it reads, its hyper-parameters in `space`. A command adds what it fixes."""

    name: str
    version: PositiveInt  # bumped by hand when the maths changes
    title: str
    full_name: str = Field("", exclude=True)  # the title spelled out; for people alone, of no identity
    paper: str
    reads: tuple[Literal["retain", "forget", "val"], ...]
    needs: Needs | None = None  # what has to be known of the original's training
    bank: str | None = None  # of needs: difficulty: a results folder with memorisation scores; null: by confidence
    epoch_cost: PositiveFloat  # time of one of its epochs / time of a plain training epoch on the retain set
    call_cost: Annotated[float, Field(ge=0)] = 0.0  # in these epochs, what a call takes beside its own
    first_look: Annotated[float, Field(ge=0.01, le=1)] = 0.5  # share of its epochs before which its model tells nothing
    space: dict[str, ParamSpec]
    params: dict[str, Any] = Field(default_factory=dict)  # values given by hand; null: searched, or the default
    mask: MaskConfig | None = None  # null: the method takes no mask (it uses no optimiser, or makes its own mask)
    meta: Meta = "chain"  # of steps: whether each has the whole forget set, or a part of its own
    steps: tuple[str, ...] = ()  # names of the methods that run one after the other
    changed: tuple[str, ...] = ()  # settings made by hand, for telling result sets apart
    contract: ContractConfig = ContractConfig()
    modules: dict[str, str] = Field(default_factory=dict)  # of methods that are not ours: name -> where the class is
    code: str | None = None  # digest of these modules' files; identifies results of theirs beside the version

    @field_validator("bank")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        """Jobs may start elsewhere."""
        return None if path is None else str(Path(path).expanduser().absolute())

    @property
    def records(self) -> Records | None:
        """What of it is made in a stage of its own: once more the original, or an ensemble."""
        return None if self.needs == "difficulty" else self.needs

    @property
    def watches(self) -> bool:
        """Whether the training of the original itself is watched for it."""
        return self.needs == "difficulty" and self.bank is None

    @property
    def bank_option(self) -> str:
        """How a command sets `bank`."""
        return f"{self.meta}.bank" if self.steps else "method.bank"

    @property
    def fixed(self) -> dict[str, Value]:
        """The values given by hand, typed; these are not searched. Raises ConfigError for a bad one."""
        given = {name: value for name, value in self.params.items() if value is not None}
        return {name: self.space[name].typed(self._option(name), value) for name, value in given.items()}

    def _option(self, param: str) -> str:
        """How a command sets a hyper-parameter."""
        return f"{self.meta}.{param}" if self.steps else f"method.params.{param}"

    @property
    def searched(self) -> list[str]:
        """The names that a search draws: of those that are searched at all, what is not fixed by hand."""
        fixed = self.fixed
        return [name for name, spec in self.space.items() if spec.searched and name not in fixed]

    @property
    def defaults(self) -> dict[str, Value]:
        return {name: spec.typed(f"method.space.{name}.default", spec.default) for name, spec in self.space.items()}

    def cost(self, epochs: float) -> float:
        """Plain training epochs on the retain set that take as long as a call with so many epochs of its own."""
        return self.call_cost + epochs * self.epoch_cost

    def complete(self, given: dict[str, Any]) -> dict[str, Value]:
        """All hyper-parameters: `given` over values fixed by hand over defaults. Unknown names are refused.

        Of `given` null stands for what is not given.
        """
        for name in given:
            if name not in self.space:
                raise unknown(
                    "hyper-parameter", f"{self.name}.{name}", [f"{self.name}.{param}" for param in self.space]
                )
        said = {name: value for name, value in given.items() if value is not None}
        typed = {name: self.space[name].typed(f"{self.name}.{name}", value) for name, value in said.items()}
        return {**self.defaults, **self.fixed, **typed}

    def from_search(self, drawn: Mapping[str, Any], ranges: Mapping[str, Range], blocks: int) -> dict[str, Value]:
        """All hyper-parameters from what a sampler drew of `ranges`; integers that depend on others are put in theirs.

        blocks: of the architecture, for ranges that end there.
        """
        dependent = [name for name, spec in self.space.items() if spec.between is not None and name in drawn]
        given = {name: value for name, value in drawn.items() if name not in dependent}
        params = self.complete({name: self.space[name].inside(value, ranges[name]) for name, value in given.items()})
        for name in dependent:  # in the order of the YAML, so that a later one may depend on an earlier
            params[name] = self.space[name].integer_at(drawn[name], {**params, "blocks": blocks})
        return params

    def to_search(self, values: Mapping[str, Value], ranges: Mapping[str, Range], blocks: int) -> dict[str, Value]:
        """What a sampler would have had to draw for `values`, the other way round than `from_search`.

        Numbers outside of their range are put at its end, or at the nearest choice; words that are not searched, and
        switches, are left out.
        """
        inside = {name: ranges[name].nearest(values[name]) for name in ranges if self.space[name].between is None}
        drawn = {name: value for name, value in inside.items() if value is not None}
        known = {**values, **drawn, "blocks": blocks}
        dependent = [name for name in ranges if self.space[name].between is not None]
        return drawn | {name: self.space[name].unit_of(int(values[name]), known) for name in dependent}

    def with_role(self, role: Role) -> list[str]:
        return [name for name, spec in self.space.items() if spec.role == role]

    def epochs_of(self, params: Mapping[str, Value]) -> int:
        """How often a run with these values yields: the epochs of all its phases and steps, at least once.

        Where it counts steps of an optimiser: TENTHS times for these. Of an ensemble: the slices of all its shards.
        """
        if self.needs == "shards":
            return int(params["shards"]) * int(params["slices"])
        epochs = sum(math.ceil(float(params[name])) for name in self.with_role("epochs"))
        return max(1, epochs + TENTHS * len(self.with_role("steps")))
