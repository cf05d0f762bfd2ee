"""From a command line to a validated sweep: Hydra composes each group option once, we merge and validate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra import initialize_config_dir
from omegaconf import DictConfig

from deepunlearn.config import arguments as words
from deepunlearn.config import forget_sets
from deepunlearn.config.architectures import identified
from deepunlearn.config.arguments import listed, parsed
from deepunlearn.config.composing import composed, unresolved_config
from deepunlearn.config.datasets import named
from deepunlearn.config.files import AXES, options, read_yaml, sweep_files
from deepunlearn.config.forget_sets import Chosen, forget_sets_of
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.config.known import default_of
from deepunlearn.config.measures import added_measures, check_alone, check_kept
from deepunlearn.config.methods import METAS, compose_method, typed_values
from deepunlearn.config.originals import Originals, check_given, read_originals
from deepunlearn.config.plugins import offer
from deepunlearn.config.settings import Given, Setting, check_methods, read_settings, settings_of, without
from deepunlearn.core import slurm_options
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.measure_config import Measure
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

STEP = re.compile(rf"({'|'.join(METAS)})\.\d+\.")  # chain.0.lr=0.01: a hyper-parameter of a chain's step
MOST_SEEDS = 10_000  # each is a training of two networks
FLAGS = ("plan", "confirm", "retry_failed", "wait")


class Flags(Frozen):
    """What this one command is to do, as opposed to what is computed."""

    plan: bool
    confirm: bool
    retry_failed: bool
    wait: bool


class SweepFile(Frozen):
    """`sweeps/<name>.yaml`: a grid. Its header comment says cost, expected outcome and the command."""

    cells: tuple[dict[str, Any], ...] = ()
    methods: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


class Cell(NamedTuple):
    """Of a grid. Null: sweep.yaml's default."""

    dataset: str | None
    arch: str | None
    forget: Chosen


class Command(NamedTuple):
    sweep: SweepConfig
    flags: Flags
    name: str


class Grid(NamedTuple):
    """What a command line and its sweep file say, before anything is composed."""

    cells: list[Cell]
    methods: list[str]  # none: the default
    overrides: list[str]  # but for those of forget sets, which the cells have
    folders: Folders
    name: str


def read_command(arguments: Sequence[str]) -> Command:
    """Everything that `python -m deepunlearn.sweep ARGUMENTS` says, validated. Raises ConfigError."""
    grid = read_grid(arguments)
    with composing():
        sweep, flags = _build(grid.cells, grid.methods, grid.overrides, grid.folders)
    return Command(sweep, flags, grid.name)


def composing() -> AbstractContextManager[Any]:
    """Hydra, ready to compose `conf/`."""
    return initialize_config_dir(version_base="1.3", config_dir=str(shipped("conf").absolute()))


def read_grid(arguments: Sequence[str]) -> Grid:
    """The words of a command line in their places. Raises ConfigError."""
    given = [parsed(argument) for argument in read_flags(arguments).words]
    file, name = _sweep_file([value for key, value in given if key == "sweep"])
    axes = {axis: listed(axis, value) for key, value in given if (axis := key) in AXES}
    for override in file.overrides:
        _refuse_axis(override)
    methods = axes.get("method") or list(file.methods)
    kept = ["=".join(parsed(one)) for one in without(file.overrides, set(file.methods) - set(methods))]
    overrides = [*kept, *(f"{key}={value}" for key, value in given if key not in (*AXES, "sweep"))]
    folders = _folders(overrides)
    offer(folders)  # first, as what a group may be depends on it
    for override in overrides:
        words.check(override)
    cells = _cells(file, axes, _forget_settings(file, given))
    overrides = [override for override in overrides if not forget_sets.is_forget(override)]
    return Grid(cells, methods, overrides, folders, name)


class Composition(NamedTuple):
    """One configuration of a command: of a cell and a method. overrides: what Hydra is given to compose it."""

    title: str
    overrides: list[str]
    steps: list[str]  # of a chain: what is set of its steps, which no configuration holds
    folders: Folders

    def config(self) -> DictConfig:
        """What Hydra composes, with its references. Raises ConfigError."""
        with composing():
            return unresolved_config(self.overrides)


def compositions(arguments: Sequence[str]) -> Iterator[Composition]:
    """All configurations that a command composes, cell by cell. Raises ConfigError."""
    grid = read_grid(arguments)
    steps = [override for override in grid.overrides if STEP.match(override)]
    overrides = _opened([override for override in grid.overrides if override not in steps])
    settings = read_settings(overrides, registered("method", grid.folders))
    methods = grid.methods or [default_of("method")]
    for cell, method in product(grid.cells, methods):
        own = [f"method={method}", *(one.override for one in settings_of(method, settings, methods))]
        words_of_cell = _overrides_of(cell, overrides, own)
        of_method = [step for step in steps if step.startswith(f"{method}.")]
        yield Composition(_title(cell, method), words_of_cell, of_method, grid.folders)


def _title(cell: Cell, method: str) -> str:
    forget = ",".join([cell.forget.kind, *cell.forget.overrides])
    return " ".join((cell.dataset or default_of("dataset"), cell.arch or default_of("arch"), forget, method))


def _folders(overrides: list[str]) -> Folders:
    """`plugins=DIR` and `extra_methods=DIR` of the command line, which comes last, or of the sweep file."""
    given_folders = [one for one in overrides if parsed(one)[0] in Folders._fields]
    for override in given_folders:
        words.check(override)
    given = {parsed(one)[0]: words.resolved(one) for one in given_folders}
    return Folders(**{name: None if value is None else str(value) for name, value in given.items()})


def _sweep_file(names: list[str]) -> tuple[SweepFile, str]:
    if not names:
        return SweepFile(), "sweep"
    path = Path(names[-1])
    if path.suffix != ".yaml":
        path = shipped("sweeps") / f"{names[-1]}.yaml"
    if not path.is_file():
        raise unknown("sweep", names[-1], sweep_files(), remedy="give one of these names, or a path ending in .yaml")
    return validate(SweepFile, read_yaml(path) or {}, f"sweep file {path.name}"), path.stem


def _refuse_axis(override: str) -> None:
    key, _ = parsed(override)
    if key in (*AXES, "sweep") and key != "forget":
        raise ConfigError(
            "a sweep file's overrides cannot set an axis",
            given=override,
            allowed="options, and forget=; datasets, archs and methods stand in cells: and methods:",
            remedy=f"move {key} out of overrides: into cells: or methods:",
        )


def _forget_settings(file: SweepFile, given: list[tuple[str, str]]) -> list[forget_sets.Setting]:
    own = [f"{key}={value}" for key, value in given]
    return [
        *forget_sets.read_settings(file.overrides, from_file=True),
        *forget_sets.read_settings(own, from_file=False),
    ]


def _cells(file: SweepFile, axes: dict[str, list[str]], settings: list[forget_sets.Setting]) -> list[Cell]:
    """The cells of a grid; an axis given on the command line replaces the file's."""
    for cell in file.cells:
        if not {"dataset", "arch"} <= set(cell) <= {"dataset", "arch", "forget"} or not _named(cell):
            raise ConfigError(
                "a cell of a sweep file does not name a dataset and an arch",
                given=str(cell),
                allowed="{dataset: NAME, arch: NAME}, and forget: NAME or {name: NAME, VALUE: ...}",
                remedy="correct the list cells: in the sweep file",
            )
    forget = axes.get("forget") or forget_sets.kinds_of(file.overrides) or [default_of("forget")]
    triples = [
        (dataset, arch, named)
        for cell in file.cells or [{}]
        for dataset in _along("dataset", axes, cell)
        for arch in _along("arch", axes, cell)
        for named in (forget if "forget" in axes or "forget" not in cell else [cell["forget"]])
    ]
    kinds = forget_sets.kinds_in([named for *_, named in triples])
    forget_sets.check_settings(settings, kinds, replaced="forget" in axes)
    cells = [
        Cell(dataset, arch, chosen)
        for dataset, arch, named in triples
        for chosen in forget_sets.forget_sets(named, settings)
    ]
    return [cell for number, cell in enumerate(cells) if cell not in cells[:number]]


def _along(axis: str, axes: dict[str, list[str]], cell: dict[str, Any]) -> Sequence[str | None]:
    return axes.get(axis) or [cell.get(axis)]


def _named(cell: dict[str, Any]) -> bool:
    """Whether a cell names one dataset and one arch."""
    return isinstance(cell["dataset"], str) and isinstance(cell["arch"], str)


def _build(cells: list[Cell], methods: list[str], overrides: list[str], folders: Folders) -> tuple[SweepConfig, Flags]:
    steps = [override for override in overrides if STEP.match(override)]
    overrides = _opened([override for override in overrides if override not in steps])
    shared = [override for override in overrides if not override.startswith(("method.", "dataset.", "train.", "arch."))]
    shared += _of_forget(cells[0])
    registry = registered("method", folders)
    settings = read_settings(overrides, registry)
    at_once = _at_once(cells, methods, overrides, settings)
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
    each = [at_once] if at_once else _composed_cells(cells, overrides)
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
        "hparams": typed_values(_hparams(base["hparams"]), chosen, registry),
        "keep": base["keep"],
        "tracker": base["tracker"],
        "measures": _measures(folders, base["measures"], built[0]),
        "launcher": _launcher(base["launcher"]),
        **{name: base[name] for name in ("search", "protocol", "runtime")},
    }
    winners = _hparams(base["search"]["winners"], "search.winners")
    _check_winners(winners, [method.name for method in chosen], base["search"]["winners"])
    values["search"]["winners"] = typed_values(winners, chosen, registry)
    if base["launcher"]["name"] == "slurm" and base["search"]["storage"] is None:
        values["search"]["storage"] = "journal"  # SQLite's locks do not hold on file systems of several machines
    sweep = validate(SweepConfig, values, "")
    check_kept(sweep.measures, sweep.keep)
    check_given(sweep)
    forget_sets.check_kept(sweep)
    return sweep, flags


def _at_once(
    cells: list[Cell], methods: list[str], overrides: list[str], settings: list[Setting]
) -> dict[str, Any] | None:
    """Everything of a command with one cell and one method, composed once and not thrice: half of the time of reading.

    Null where there are more, where one value may refer to another, and where something is wrong: the parts tell what.
    """
    said = [*overrides, *cells[0].forget.overrides]
    alone = len(cells) == 1 and len(methods) <= 1 and not any("${" in override for override in said)
    if not alone or (not methods and any(one.method for one in settings)):
        return None
    with suppress(ConfigError, KeyError):  # of a method that there is not
        own = settings_of(methods[0], settings, methods) if methods else settings
        method = [*(f"method={name}" for name in methods), *(one.override for one in own)]
        return _composed_cell(cells[0], overrides, method)
    return None


def _composed_cells(cells: list[Cell], overrides: list[str]) -> list[dict[str, Any]]:
    """The values of each cell. What forget sets have in common is composed once, unless values may refer to others."""
    said = [*overrides, *(one for cell in cells for one in cell.forget.overrides)]
    if any("${" in one for one in said) or not {cell.forget.kind for cell in cells} <= options("forget").keys():
        return [_composed_cell(cell, overrides) for cell in cells]
    shared = {cell[:2]: cell for cell in reversed(cells)}
    pairs = {pair: _composed_cell(cell, overrides) for pair, cell in shared.items()}
    choices = dict.fromkeys(tuple(_of_forget(cell)) for cell in cells)
    forget = {choice: composed([*choice])["forget"] for choice in choices}
    return [{**pairs[cell[:2]], "forget": forget[tuple(_of_forget(cell))]} for cell in cells]


def _composed_cell(cell: Cell, overrides: list[str], method: Sequence[str] = ()) -> dict[str, Any]:
    return composed(_overrides_of(cell, overrides, method))


def _overrides_of(cell: Cell, overrides: list[str], method: Sequence[str]) -> list[str]:
    named = [f"{axis}={name}" for axis, name in (("dataset", cell.dataset), ("arch", cell.arch)) if name]
    others = [override for override in overrides if not override.startswith("method.")]
    return [*named, *_of_forget(cell), *others, *method]


def _of_forget(cell: Cell) -> list[str]:
    return [f"forget={cell.forget.kind}", *cell.forget.overrides]


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


def _opened(overrides: list[str]) -> list[str]:
    """With Hydra's leave for names that conf/ does not know, in the places where any name may stand."""
    local = {"launcher=local"} >= {one for one in overrides if one.startswith("launcher=")}
    return [
        f"++{one}" if words.FREE.match(one) and not (local and one.startswith("launcher.")) else one
        for one in overrides
    ]


def _kept_as_files(dataset: dict[str, Any]) -> bool:
    """Whether a data set that has files of its own format is read from an image folder instead."""
    if dataset["source"] != "folder":
        return False
    file = shipped("conf") / "dataset" / f"{dataset['name']}.yaml"
    return bool(read_yaml(file)["source"] != "folder") if file.is_file() else dataset.get("module") is not None


def _seeds(base: dict[str, Any]) -> list[int]:
    """`10` -> seeds 0 to 9; a list stays as it is."""
    value = base["seeds"]
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


def _check_winners(winners: dict[str, Any], methods: list[str], path: str | None) -> None:
    """Raises ConfigError where a file has nothing that a search of these methods could begin with."""
    there = {name.rpartition("/")[2] for name in winners}
    if winners and not there & {*methods}:
        raise ConfigError(
            "search.winners has no values for any method of the sweep",
            given=f"search.winners={path} with {', '.join(sorted(there))}",
            allowed=f"DATASET/ARCH/METHOD with a METHOD among {', '.join(methods)}",
            remedy="give the hparams.yaml of a run with these methods, or leave search.winners out",
        )


def _hparams(path: str | None, option: str = "hparams") -> dict[str, Any]:
    """`hparams=FILE`, or another option with such a file: dataset/arch/method -> values."""
    if path is None:
        return {}
    file = Path(path)
    if not file.is_file():
        raise ConfigError(
            "there is no such file of hyper-parameters",
            given=f"{option}={path}",
            allowed="a YAML file as a sweep writes it: results/runs/RUN/hparams.yaml",
            remedy=f"give {option}=FILE with the path of an existing file",
        )
    values = read_yaml(file)
    if not isinstance(values, dict) or not all(isinstance(value, dict) for value in values.values()) or not values:
        raise ConfigError(
            f"{file.name} does not hold hyper-parameters",
            given=str(values)[:200],
            allowed="DATASET/ARCH/METHOD: {name: value, ...}",
            remedy="give a file that a sweep wrote, results/runs/RUN/hparams.yaml, or write one like it",
        )
    return values
