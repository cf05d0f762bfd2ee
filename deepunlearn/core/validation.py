"""Frozen pydantic models of configurations, and what a value that does not fit in one is answered with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepunlearn.core.errors import ConfigError, unknown

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1)]


class Unfit(ValueError):
    """What a validator raises for values that do not go together; `validate` turns it into a ConfigError."""

    def __init__(self, problem: str, *, given: str, allowed: str, remedy: str) -> None:
        super().__init__(problem)
        self.error = ConfigError(problem, given=given, allowed=allowed, remedy=remedy)


def refuse_repeats(arguments: Iterable[str]) -> None:
    """Raises ConfigError for an option `NAME=VALUE` that is there twice, as nothing says which of them is meant.

    For every command but those that Hydra composes (`sweep`, `lira`), where a later value replaces an earlier one.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        name, equals, _ = argument.lstrip("+").partition("=")
        if equals and name in given:
            raise ConfigError(
                f"{name}= is given twice",
                given=f"{given[name]} {argument}",
                allowed="each option once",
                remedy="leave one of the two out",
            )
        given[name] = argument


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a `model`. Raises ConfigError naming the first wrong entry, e.g. `forget.ratio`, and its remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(error, model, where) from None


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    first = error.errors()[0]
    name = _spelled(where, first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("option", name, [f"{where}.{field}".lstrip(".") for field in model.model_fields])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, Unfit):
        return cause.error
    return ConfigError(
        f"{name} has a value that cannot be used",
        given=repr(first["input"])[:200],
        allowed=KINDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
        remedy=f"give {name.split('[')[0]}=VALUE, on the command line or in the file where it stands",
    )


KINDS = {  # pydantic's types of errors -> what a person would have to give
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list, e.g. [1,2]"),
    **dict.fromkeys(("dict_type", "model_type"), "names with values, e.g. {name: value}"),
    "too_short": "a list that is not empty",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "missing": "a value",
}
BRANCHES = ("int", "float", "str", "bool")  # pydantic's names of the alternatives of a field, which nobody has written


def _spelled(where: str, loc: tuple[int | str, ...]) -> str:
    """A field as it is written in a command: `forget.ratio`, `seeds[0]`."""
    fields = [field for field in (where, *loc) if field != "" and field not in BRANCHES]
    return "".join(f"[{field}]" if isinstance(field, int) else f".{field}" for field in fields).lstrip(".")
