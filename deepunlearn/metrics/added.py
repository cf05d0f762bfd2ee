"""Computing a measure that has a file of its own, from a model's stored outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column, Measure
from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.registry import digest, functions, load


@dataclass(frozen=True)
class Outputs:
    """What a measure may look at. Each mapping has the parts retain, forget, val and test.

    logits: of the model, [N, K] per part, finite; original, retrained: of the references of its seed; labels: [N];
    seed: for a measure that draws, the same for all models of a seed.
    """

    logits: Mapping[str, Floats]
    original: Mapping[str, Floats]
    retrained: Mapping[str, Floats]
    labels: Mapping[str, Integers]
    seed: int


def computed(measure: Measure, outputs: Outputs) -> dict[str, float | bool | None]:
    """The values by column. Raises ConfigError where the code cannot be loaded or gives what its YAML does not say."""
    modules = [] if measure.module is None else [measure.module]
    if digest(modules) != measure.code:
        raise ConfigError(
            f"the code of measure {measure.name!r} was edited after the sweep was planned",
            given=", ".join(modules),
            allowed="the code as it was when the command began",
            remedy="run the command again; values of the code as it was are kept",
        )
    module = load(measure.module or f"deepunlearn.measures.{measure.name}")
    found = functions(module, ["measure"], f"measure {measure.name!r}")["measure"](outputs)
    names = [column.name for column in measure.columns]
    if not isinstance(found, dict) or sorted(map(str, found)) != sorted(names):
        raise _unfit(measure.name, repr(found)[:200], f"a dictionary with a value for each of {', '.join(names)}")
    return {column.name: _checked(measure.name, column, found[column.name]) for column in measure.columns}


def _checked(measure: str, column: Column, value: Any) -> float | bool | None:
    """A value as plain Python's; NumPy's numbers count as numbers."""
    plain = value.item() if hasattr(value, "item") else value
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(column.annotation | None, config=ConfigDict(strict=True))
        checked: float | bool | None = adapter.validate_python(plain)
    except ValueError:
        raise _unfit(f"{measure}: {column.name}", repr(plain)[:200], column.range) from None
    return checked


def _unfit(what: str, given: str, allowed: str) -> ConfigError:
    return ConfigError(
        f"the code of a measure gave what its YAML does not say: {what}",
        given=given,
        allowed=allowed,
        remedy="correct the code, or the columns in the YAML",
    )
