"""From a command line to a validated sweep: Hydra composes each group option once, we merge and validate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from deepunlearn.config import forget_sets
from deepunlearn.config.architectures import identified
from deepunlearn.config.composing import composed
from deepunlearn.config.compositions import STEP, composed_at_once, composed_cells, composing, of_forget, opened
from deepunlearn.config.datasets import named
from deepunlearn.config.files import read_yaml
from deepunlearn.config.forget_sets import forget_sets_of
from deepunlearn.config.grid import Cell, read_grid
from deepunlearn.config.hparams_file import NEAREST, check_fixed, check_winners, read_hparams
from deepunlearn.config.measures import added_measures, check_alone, check_kept
from deepunlearn.config.methods import METAS, compose_method, typed_values
from deepunlearn.config.originals import Originals, check_given, read_originals
from deepunlearn.config.searches import check_search
from deepunlearn.config.settings import Given, check_methods, read_settings
from deepunlearn.core import slurm_options
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import (
    LAUNCHERS,
    CellConfig,
    LocalLauncher,
    RuntimeConfig,
    SlurmLauncher,
    SweepConfig,
)
from deepunlearn.core.validation import Frozen, validate
from deepunlearn.registry import Folders, Registered, registered

MOST_SEEDS = 10_000  # each is a training of two networks
FLAGS = ("plan", "confirm", "retry_failed", "wait")


class Flags(Frozen):
    """What this one command is to do, as opposed to what is computed."""

    plan: bool
    confirm: bool
    retry_failed: bool
    wait: bool


class Command(NamedTuple):
    """nearest: hyper-parameters are those of the nearest stored settings, which `sweep` does not know yet."""

    sweep: SweepConfig
    flags: Flags
    name: str
    nearest: bool = False


def read_command(arguments: Sequence[str]) -> Command:
    """Everything that `python -m deepunlearn.sweep ARGUMENTS` says, validated. Raises ConfigError."""
    grid = read_grid(arguments)
    with composing():
        sweep, flags, nearest = _build(grid.cells, grid.methods, grid.overrides, grid.folders)
    return Command(sweep, flags, grid.name, nearest)


def _build(
    cells: list[Cell], methods: list[str], overrides: list[str], folders: Folders
) -> tuple[SweepConfig, Flags, bool]:
    steps = [override for override in overrides if STEP.match(override)]
    overrides = opened([override for override in overrides if override not in steps])
    shared = [override for override in overrides if not override.startswith(("method.", "dataset.", "train.", "arch."))]
    shared += of_forget(cells[0])
    registry = registered("method", folders)
    settings = read_settings(overrides, registry)
    at_once = composed_at_once(cells, methods, overrides, settings)
    base = at_once or composed(shared)
    flags = validate(Flags, {name: base[name] for name in FLAGS}, "")
    validate(RuntimeConfig, base["runtime"], "runtime")  # before its precision becomes a cell's
    names = methods or [base["method"]["name"]]
    for meta in METAS:
        own = [override for override in steps if override.startswith(f"{meta}.")]
        if own and meta not in names:
            raise _not_chosen(meta, own, names)
    check_methods(settings, names, {meta: base[meta]["steps"] for meta in METAS if meta in names})
    given = Given(names, shared, settings, steps)
    chosen = [compose_method(name, given, registry, at_once) for name in names]
    kinds = registered("forget", folders)
    each = [at_once] if at_once else composed_cells(cells, overrides)
    seeds = _seeds(base)
    originals = read_originals(base["reference"], seeds, overrides)
    built = [
        one
        for cell, values in zip(cells, each, strict=True)
        for one in _cells_of(values, cell, overrides, kinds, originals)
    ]
    values = {
        "cells": [cell for number, cell in enumerate(built) if cell not in built[:number]],
        "methods": chosen,
        "seeds": seeds,
        "results": base["results"],
        "hparams": _values(base["hparams"], "hparams", chosen, registry),
        "keep": base["keep"],
        "tracker": base["tracker"],
        "measures": _measures(folders, base["measures"], built[0]),
        "launcher": _launcher(base["launcher"]),
        **{name: base[name] for name in ("search", "protocol", "runtime")},
    }
    winners = _values(base["search"]["winners"], "search.winners", chosen, registry)
    check_winners(winners, [method.name for method in chosen], base["search"]["winners"])
    values["search"]["winners"] = winners
    if base["launcher"]["name"] == "slurm" and base["search"]["storage"] is None:
        values["search"]["storage"] = "journal"  # SQLite's locks do not hold on file systems of several machines
    sweep = validate(SweepConfig, values, "")
    check_search(sweep.search, overrides, base["hparams"])
    check_kept(sweep.measures, sweep.keep)
    check_given(sweep)
    check_fixed(sweep, f"hparams={base['hparams']}")
    forget_sets.check_kept(sweep)
    return sweep, flags, base["hparams"] == NEAREST


def _values(
    path: Any, option: str, chosen: Sequence[MethodConfig], registry: dict[str, Registered]
) -> dict[str, dict[str, Any]]:
    """Of a file of hyper-parameters; a name that looks like a number is one all the same."""
    read = read_hparams(None if path is None else str(path), option)
    return typed_values(read, chosen, registry, f"{option}={path}")


def _cells_of(
    values: dict[str, Any], cell: Cell, overrides: list[str], kinds: Mapping[str, Registered], originals: Originals
) -> list[CellConfig]:
    """A cell; several where requests arrive one after the other, one for each of them, in their order."""
    fields = {name: values[name] for name in ("dataset", "arch", "train")}
    if _kept_as_files(values["dataset"]) and not any(override.startswith("dataset.title=") for override in overrides):
        fields["dataset"]["title"] += " (image files)"  # re-encoded images are not quite the original data set
    fields["dataset"] = named(fields["dataset"], overrides)
    fields["arch"] = identified(fields["arch"])
    fields["train"] = originals.train or fields["train"]
    for name in ("dataset", "arch", "train"):
        validate(CellConfig.model_fields[name].annotation, fields[name], name)  # type: ignore[arg-type]
    fields |= {"precision": values["runtime"]["precision"], "given": originals.given}
    forget = forget_sets_of(cell.forget.merged(values["forget"]), kinds)
    return [validate(CellConfig, {**fields, "forget": one}, "cell") for one in forget]


def _measures(folders: Folders, chosen: Any, cell: CellConfig) -> tuple[Measure, ...]:
    """Where there is no retrained model, those that were not asked for and need one are left out."""
    measures = added_measures(folders, chosen)
    if not cell.retrains:
        measures = check_alone(measures) if chosen is not None else tuple(one for one in measures if one.alone)
    return measures


def _launcher(values: dict[str, Any]) -> LocalLauncher | SlurmLauncher:
    kind = LAUNCHERS.get(values["name"])
    if kind is None:
        raise unknown("launcher", values["name"], LAUNCHERS)
    launcher = validate(kind, values, "launcher")
    if isinstance(launcher, SlurmLauncher):
        slurm_options.check(launcher)
    return launcher


def _not_chosen(meta: str, steps: list[str], names: list[str]) -> ConfigError:
    return ConfigError(
        f"hyper-parameters of the steps of {meta}, but method={meta} is not chosen",
        given=" ".join(steps),
        allowed=f"method.params.NAME= of method={','.join(names)}",
        remedy=f"add method={meta} and {meta}.steps=[...], or leave them out",
    )


def _kept_as_files(dataset: dict[str, Any]) -> bool:
    """Whether a data set that has files of its own format is read from an image folder instead."""
    if dataset["source"] != "folder":
        return False
    file = shipped("conf") / "dataset" / f"{dataset['name']}.yaml"
    return bool(read_yaml(file)["source"] != "folder") if file.is_file() else dataset.get("module") is not None


def _unquoted(value: Any) -> Any:
    """What a text stands for; as it is where that cannot be read."""
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value


def _seeds(base: dict[str, Any]) -> list[int]:
    """`10` -> seeds 0 to 9; a list stays as it is. A variable of the shell has either as a text."""
    value = _unquoted(base["seeds"])
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEEDS:
        return list(range(value))
    if isinstance(value, list) and value and len(set(value)) == len(value) and all(type(one) is int for one in value):
        return value
    raise ConfigError(
        "seeds has a value that cannot be used",
        given=repr(value),
        allowed=f"a number n from 1 to {MOST_SEEDS:,} (seeds 0 to n-1), or a list of different seeds",
        remedy="give e.g. seeds=10 or seeds=[0,1,2]",
    )
