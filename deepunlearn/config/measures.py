"""Measures that have files of their own, as configurations: which a sweep computes beside those of every row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deepunlearn.config.plugins import read
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.measure_config import Attack, Measure
from deepunlearn.core.validation import validate
from deepunlearn.metrics.catalogue import SCORED_TOGETHER
from deepunlearn.metrics.row import with_added
from deepunlearn.registry import Folders, Registered, digest, registered

GIVEN = ("logits", "weights", "models", "call")  # what a measure of its own may need


def added_measures(folders: Folders, chosen: Any = None) -> tuple[Measure, ...]:
    """Those registered that are computed unasked, attacks among them, or `chosen` ones, as measures= gives them.

    Raises ConfigError where one is not known or cannot be computed, or has a column whose name is taken.
    """
    registry = {name: one for name, one in registered("measure", folders).items() if name not in SCORED_TOGETHER}
    attacks = registered("attack", folders)
    for name in {*registry, *SCORED_TOGETHER} & set(attacks):
        raise ConfigError(
            f"a measure and an attack have the same name: {name!r}",
            given=f"{registered('measure', folders)[name].origin} and {attacks[name].origin}",
            allowed="each name once among measures and attacks",
            remedy="rename yours, so that results of the two cannot be mistaken for each other",
        )
    registry |= attacks
    measures = tuple(_measure(registry[name]) for name in (registry if chosen is None else _chosen(chosen, registry)))
    measures = tuple(one for one in measures if one.default) if chosen is None else measures
    with_added(measures)
    return measures


def check_kept(measures: Iterable[Measure], keep: str) -> None:
    """Raises ConfigError for a measure of weights in a sweep that does not keep them."""
    of_weights = [one.name for one in measures if "weights" in one.needs]
    if of_weights and keep != "weights":
        raise ConfigError(
            "a measure needs the weights of unlearned models, which this sweep does not keep",
            given=f"keep={keep}; measures that need weights: {', '.join(of_weights)}",
            allowed="keep=weights, or measures of logits only",
            remedy="give keep=weights, or measures=[...] without them",
        )


def _chosen(chosen: Any, registry: Iterable[str]) -> list[str]:
    """The names that measures= gives. Raises ConfigError."""
    if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
        raise ConfigError(
            "measures= takes a list of names",
            given=f"measures={chosen}",
            allowed=f"null (all), or a list of {', '.join(registry) or 'none: there are no further measures'}",
            remedy=f"give measures=[{chosen}]" if isinstance(chosen, str) else "give e.g. measures=[confidence]",
        )
    for name in chosen:
        if name in SCORED_TOGETHER:
            raise ConfigError(
                f"the measure {name!r} is part of every row",
                given=f"measures=[{', '.join(chosen)}]",
                allowed=", ".join(registry) or "(none: there are no further measures)",
                remedy=f"leave {name} out of measures=",
            )
        if name not in registry:
            raise unknown("measure", name, registry)
    return list(dict.fromkeys(chosen))


def _measure(entry: Registered) -> Measure:
    where = f"measure {entry.name}.yaml"
    code = None if entry.module is None else digest([entry.module])
    if entry.kind == "attack":
        return validate(Attack, read(entry), f"attack {entry.name}.yaml").as_measure(entry.module, code)
    measure = validate(Measure, {**read(entry), "module": entry.module, "code": code}, where)
    if not set(measure.needs) <= set(GIVEN):
        raise ConfigError(
            f"{where} needs what a measure of its own does not get",
            given=f"needs: [{', '.join(measure.needs)}]",
            allowed=f"needs: some of {', '.join(GIVEN)}",
            remedy="compute it from these; times are looked at by the measures of every row only",
        )
    return measure
