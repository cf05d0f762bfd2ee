"""Measures that have files of their own, as configurations: which a sweep computes beside those of every row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import yaml

from deepunlearn.config.plugins import read
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.measure_config import Attack, Measure
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.validation import validate
from deepunlearn.metrics import scikit
from deepunlearn.metrics.catalogue import BUILT_IN, SCORED_TOGETHER
from deepunlearn.metrics.row import with_added
from deepunlearn.plugin_code import digest
from deepunlearn.registry import Folders, Registered, registered

IN_EVERY_ROW = frozenset(column.name.lower() for column in BUILT_IN.columns)  # gap, ToW, ...: nothing is to be done


def added_measures(folders: Folders, chosen: Any = None) -> tuple[Measure, ...]:
    """Those that `measures=` chooses: names of measures, attacks and sets of them, metrics of scikit-learn. None: the
    set `default`.

    Raises ConfigError where one is not known or cannot be computed, or has a column whose name is taken.
    """
    registry = _registry(folders)
    names = ["default"] if chosen is None else _names(chosen, registry)
    if all(name in registry or _is_metric(name) for name in names):
        measures = tuple(scikit.as_measure(name) if _is_metric(name) else _measure(registry[name]) for name in names)
    else:
        read = known_measures(folders)
        measures = tuple(dict.fromkeys(one for name in names for one in _meant(name, read)))
    with_added(measures)
    return measures


def known_measures(folders: Folders) -> dict[str, Measure]:
    """All that `measures=` may choose by name. Raises ConfigError for a YAML that does not fit."""
    return {name: _measure(one) for name, one in _registry(folders).items()}


def sets_of(measures: Iterable[Measure]) -> dict[str, list[Measure]]:
    """The measures of each set: those that are computed unasked, all, none, and sets that their YAMLs name."""
    sets: dict[str, list[Measure]] = {"default": [], "all": [], "none": []}
    for one in measures:
        for name in ("all", *(["default"] if one.default else []), *one.sets):
            sets.setdefault(name, []).append(one)
    return sets


def _meant(name: str, read: Mapping[str, Measure]) -> list[Measure]:
    """What a name of a measure or a set stands for. Raises ConfigError."""
    if _is_metric(name):
        return [scikit.as_measure(name)]
    sets = sets_of(read.values())
    if twice := sorted(set(read) & set(sets)):
        raise ConfigError(
            "a measure has the name of a set of measures",
            given=", ".join(twice),
            allowed=f"other names than those of sets: {', '.join(sets)}",
            remedy="rename the measure, or the set in sets: of the YAMLs that name it",
        )
    if name not in {*sets, *read}:
        raise unknown("measure", name, [*sets, *read, f"{scikit.PREFIX}NAME(argument=value)"])
    return sets[name] if name in sets else [read[name]]


def _is_metric(name: str) -> bool:
    return name.startswith(scikit.PREFIX)


def _registry(folders: Folders) -> dict[str, Registered]:
    """Measures beside those of every row, and attacks."""
    registry = {name: one for name, one in registered("measure", folders).items() if name not in SCORED_TOGETHER}
    attacks = registered("attack", folders)
    for name in {*registry, *SCORED_TOGETHER} & set(attacks):
        raise ConfigError(
            f"a measure and an attack have the same name: {name!r}",
            given=f"{registered('measure', folders)[name].origin} and {attacks[name].origin}",
            allowed="each name once among measures and attacks",
            remedy="rename yours, so that results of the two cannot be mistaken for each other",
        )
    return registry | attacks


def check_classes(measures: Iterable[Measure], cells: Iterable[CellConfig]) -> None:
    """Raises ConfigError for a metric of scikit-learn that cannot be computed of as many classes as a cell has."""
    scikit.check_classes(measures, sorted({cell.dataset.classes for cell in cells if cell.dataset.classes is not None}))


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


def check_alone(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """The same. Raises ConfigError for those that are held against a retrained model, where there is none."""
    held = [one.name for one in measures if not one.alone]
    if held:
        able = [one.name for one in measures if one.alone]
        raise ConfigError(
            "measures that were asked for need the retrained model, and there is none",
            given=f"{', '.join(held)}, and reference.original= without reference.recipe=",
            allowed="measures whose YAML says alone: true",
            remedy="give reference.recipe=FILE, or "
            + (f"measures=[{','.join(able)}], which can do without" if able else "leave measures= out"),
        )
    return measures


def _names(chosen: Any, registry: Iterable[str]) -> list[str]:
    """The names that measures= gives, of measures, sets or metrics of scikit-learn; of columns that all have, none.

    Raises ConfigError.
    """
    chosen = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
        raise ConfigError(
            "measures= takes names",
            given=f"measures={chosen}",
            allowed=f"null (those computed unasked), all, or one or a list of {', '.join(registry)}",
            remedy="give e.g. measures=aus or 'measures=[aus,zrf]'",
        )
    for name in chosen:
        if name in SCORED_TOGETHER:
            raise ConfigError(
                f"the measure {name!r} is part of every row",
                given=f"measures=[{', '.join(chosen)}]",
                allowed=", ".join(registry) or "(none: there are no further measures)",
                remedy=f"leave {name} out of measures=",
            )
    asked = [name for name in chosen if name in registry or name.lower() not in IN_EVERY_ROW]
    return list(dict.fromkeys(scikit.read(name).text if _is_metric(name) else name for name in asked))


def _measure(entry: Registered) -> Measure:
    return _ours(entry) if entry.built_in else _fitted(entry, read(entry))


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _ours(entry: Registered) -> Measure:
    """Every command reads all of ours: by the parser in C that takes a tenth of the time."""
    return _fitted(entry, yaml.load(entry.yaml.read_text(encoding="utf-8"), Loader=_LOADER))


def _fitted(entry: Registered, values: dict[str, Any]) -> Measure:
    code = None if entry.module is None else digest([entry.module])
    if entry.kind == "attack":
        return validate(Attack, values, f"attack {entry.name}.yaml").as_measure(entry.module, code)
    return validate(Measure, {**values, "module": entry.module, "code": code}, f"measure {entry.name}.yaml")
