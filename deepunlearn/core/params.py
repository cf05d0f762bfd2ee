"""Hyper-parameters: typed values, hard limits and search ranges, all read from a method's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deepunlearn.core.errors import ConfigError

Value = float | int | bool | str
Role = Literal["epochs", "steps", "batch_size", "lr", "record"]
MASK_THRESHOLD = "mask.threshold"  # of a saliency mask on any gradient method
MASK_SHARES = ("mask.first", "mask.last", "mask.power")  # of a layer-wise one
MASKS = (MASK_THRESHOLD, *MASK_SHARES)
MASK_OPTIONS = ("mask.kind", *MASK_SHARES)  # that a YAML need not hold to be set by a command
WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}
OPEN_END = 1e-6  # of a range's width: how far inside of an end that is not allowed itself a sampler's draw of it is
EPOCH_LIMIT = "E_max"  # a symbolic upper end: the search's epoch limit (protocol section 6)


class Range(BaseModel):
    """A resolved search range; exactly what a sampler may draw and what the study's key holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.choices is None and (self.low is None or self.high is None):
            raise ValueError("a range needs low and high, or choices")
        if self.choices is not None and not self.choices:
            raise ValueError("a range needs at least one choice")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low={self.low} lies above high={self.high}")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError(f"a logarithmic range needs low > 0, not {self.low}")
        return self

    def options(self) -> Sequence[Value] | None:
        """All values that may be drawn; None of real numbers."""
        if self.choices is not None:
            return self.choices
        if isinstance(self.low, int) and isinstance(self.high, int):
            return range(self.low, self.high + 1)
        return None

    def nearest(self, value: Value) -> Value | None:
        """`value`, or the end of the range or the number among the choices next to it; None of words and switches."""
        if self.choices is not None:
            return value if value in self.choices else _nearest_number(value, self.choices)
        assert self.low is not None and self.high is not None
        return None if isinstance(value, str) else min(max(value, self.low), self.high)


class ParamSpec(BaseModel):
    """One hyper-parameter: default and search range side by side.

    `low`, `high`, `log`, `choices` are the range of `search.space=paper`; `ours` replaces entries of it for
    `search.space=ours`. `gt`, `ge`, `lt`, `le` are hard limits that a value given by hand must keep as well; a range of
    real numbers may begin or end at `gt` or `lt`, which are not drawn then (`inside`).
    `between` is the range of an integer that depends on other values, e.g. [1, epochs] or [0, epochs - fine_epochs]:
    it is searched as a number in [0, 1], so that the sampler's space is the same for all, and mapped (`integer_at`).
    `words` are values beside numbers that a run turns into one, e.g. auto.
    `role` is what others have to know of it: `epochs`, after each of which a run yields; `steps` of an optimiser, after
    each tenth of which a run yields and which take `batch_size` samples of D_R each; `batch_size`, which a dataset
    may bound; `lr`, a learning rate of an optimiser; `record`, what has to be known while the original is trained, and
    so is never searched. The contract tests hold it against a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["float", "int", "bool", "str"]
    role: Role | None = None
    default: Value
    low: float | int | None = None
    high: float | int | Literal["E_max"] | None = None
    log: bool = False
    choices: tuple[Value, ...] | None = None
    words: tuple[str, ...] = ()
    ours: dict[str, Any] | None = None
    between: tuple[int | str, int | str] | None = None
    searched: bool = True
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    help: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _role_fits(self) -> ParamSpec:
        every = tuple(WORDS)
        of_roles = {
            "epochs": ("int", "float"),
            "steps": ("int",),
            "batch_size": ("int",),
            "lr": ("float",),
            "record": every,
            None: every,
        }
        kinds = of_roles[self.role]
        if self.type not in kinds:
            raise ValueError(f"a type that role={self.role} may have: {' or '.join(kinds)}")
        if self.role == "record" and self.searched:
            raise ValueError("searched: false, since every value of role=record needs a training of its own")
        return self

    @model_validator(mode="after")
    def _range_keeps_limits(self) -> ParamSpec:
        for changed in ({}, self.ours or {}):
            fields = {name: changed.get(name, getattr(self, name)) for name in ("low", "high", "choices")}
            ends = [("low", fields["low"]), ("high", fields["high"])]
            for name, value in ends + [("choices", one) for one in fields["choices"] or ()]:
                number = isinstance(value, int | float)
                if number and not (self._within(value) or self._is_open(value, fields["low"], fields["high"])):
                    raise ValueError(f"{name} within the hard limits ({self.allowed()}), not {value}")
        return self

    def typed(self, name: str, value: Any) -> Value:
        """`value` in this parameter's type and within its hard limits (1 -> 1.0 for a float).

        Raises ConfigError naming `name`, the value and what is allowed.
        """
        if isinstance(value, str) and value in self.words:
            return value
        converted = _converted(self.type, value)
        if converted is None or not self._within(converted):
            raise ConfigError(
                f"{name} has a value that cannot be used",
                given=repr(value),
                allowed=self.allowed(),
                remedy=f"give another {name}, or leave it out for the searched or default value",
            )
        return converted

    def allowed(self) -> str:
        """The type and hard limits in words, e.g. `a number > 0`."""
        signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
        limits = [f"{sign} {getattr(self, name):g}" for name, sign in signs.items() if getattr(self, name) is not None]
        if self.choices is not None and self.type in ("bool", "str"):
            return " or ".join(map(str, self.choices))
        numbers = " ".join([WORDS[self.type], " and ".join(limits)]).strip()
        return " or ".join([numbers, *self.words])

    def range(self, name: str, space: str, epoch_limit: int, max_batch_size: int | None) -> Range:
        """The range to search in `space`; E_max resolved, batch sizes capped (UTKFace)."""
        if self.between is not None:
            return Range(low=0.0, high=1.0)
        fields: dict[str, Any] = {"low": self.low, "high": self.high, "log": self.log, "choices": self.choices}
        if space == "ours" and self.ours is not None:
            fields.update(self.ours)
        if fields["high"] == EPOCH_LIMIT:
            fields["high"] = epoch_limit
        if self.type == "float":  # 0 and 1 in YAML are integers; the bounds of a real range are not
            fields.update({end: float(fields[end]) for end in ("low", "high") if fields[end] is not None})
        if self.role == "batch_size" and max_batch_size is not None and fields["choices"] is not None:
            fields["choices"] = tuple(size for size in fields["choices"] if size <= max_batch_size)
        try:
            return Range(**fields)
        except ValueError as error:
            raise ConfigError(
                f"the search range of {name} is empty or incomplete",
                given=", ".join(f"{end}={value}" for end, value in fields.items() if value not in (None, False)),
                allowed="low <= high (above 0 where log is true), or choices",
                remedy=f"change method.space.{name} or search.max_epochs, or fix method.params.{name}",
            ) from error

    def inside(self, value: Value, limits: Range) -> Value:
        """`value` as drawn from `limits`; just inside of them where it is an end that a hard limit excludes.

        Samplers that learn from numbers in [0, 1] propose exact ends, others next to never.
        """
        if not self._is_open(value, limits.low, limits.high):
            return value
        assert isinstance(value, int | float) and limits.low is not None and limits.high is not None
        inwards = 1 if value == self.gt else -1
        return value + inwards * OPEN_END * (limits.high - limits.low)

    def integer_at(self, unit: float, known: Mapping[str, Any]) -> int:
        """The integer at `unit` in [0, 1] of `between`, whose names are looked up in `known`; at least its low end."""
        assert self.between is not None
        low, high = (evaluate(end, known) for end in self.between)
        more = max(high - low, 0)
        return low + min(more, math.floor(unit * (more + 1)))

    def unit_of(self, value: int, known: Mapping[str, Any]) -> float:
        """The middle of what `integer_at` maps to `value`, or to the end of `between` that is next to it."""
        assert self.between is not None
        low, high = (evaluate(end, known) for end in self.between)
        count = max(high - low, 0) + 1
        return (min(max(value - low, 0), count - 1) + 0.5) / count

    def _is_open(self, value: Value, low: Value | None, high: Value | None) -> bool:
        """Whether it is an end of a range of real numbers that a hard limit excludes, and alone."""
        if self.type != "float" or low == high:
            return False
        return value == self.gt == low or value == self.lt == high

    def _within(self, value: Value) -> bool:
        if isinstance(value, str | bool):
            return self.choices is None or value in self.choices
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )


def evaluate(end: int | str, known: Mapping[str, Any]) -> int:
    """3, `epochs` or `epochs - fine_epochs` as an integer."""
    if isinstance(end, int):
        return end
    first, *rest = (int(known[name.strip()]) for name in end.split("-"))
    return first - sum(rest)


def _nearest_number(value: Value, choices: Sequence[Value]) -> Value | None:
    """Of two that are equally near the smaller one."""
    numbers = sorted(one for one in choices if not isinstance(one, str | bool))
    if isinstance(value, str | bool) or not numbers:
        return None
    return min(numbers, key=lambda one: abs(one - value))


def _converted(kind: str, value: Any) -> Value | None:
    """`value` as `kind`, or None where that would change it (1.5 as int, 'x' as float, NaN)."""
    if kind == "str":
        return value if isinstance(value, str) else None
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool | str) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind == "int":
        return int(value) if float(value).is_integer() else None
    return float(value)
