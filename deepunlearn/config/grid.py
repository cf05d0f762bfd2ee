"""The words of a command line and of its sweep file in their places, before anything is composed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepunlearn.config import arguments as words
from deepunlearn.config import forget_sets
from deepunlearn.config.arguments import listed, parsed
from deepunlearn.config.files import AXES, read_yaml
from deepunlearn.config.forget_sets import Chosen
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.config.known import default_of
from deepunlearn.config.plugins import offer, sweeps
from deepunlearn.config.references import unresolved
from deepunlearn.config.settings import without
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.validation import Frozen, validate
from deepunlearn.registry import Folders


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


class Grid(NamedTuple):
    """What a command line and its sweep file say, before anything is composed."""

    cells: list[Cell]
    methods: list[str]  # none: the default
    overrides: list[str]  # but for those of forget sets, which the cells have
    folders: Folders
    name: str


def read_grid(arguments: Sequence[str]) -> Grid:
    """The words of a command line in their places. Raises ConfigError."""
    given = [parsed(argument) for argument in read_flags(arguments).words]
    file, name = _sweep_file(given)
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


def _folders(overrides: list[str]) -> Folders:
    """`plugins=DIR` and `extra_methods=DIR` of the command line, which comes last, or of the sweep file."""
    given_folders = [one for one in overrides if parsed(one)[0] in Folders._fields]
    for override in given_folders:
        words.check(override)
    given = {parsed(one)[0]: words.resolved(one) for one in given_folders}
    return Folders(**{name: None if value is None else str(value) for name, value in given.items()})


def _sweep_file(given: list[tuple[str, str]]) -> tuple[SweepFile, str]:
    """The file that the last `sweep=` names, and what the sweep is called; the folder of `plugins=` may have it."""
    names = [value for key, value in given if key == "sweep"]
    if not names:
        return SweepFile(), "sweep"
    name = str(_followed({"sweep": names[-1]}, f"sweep={names[-1]}")["sweep"])
    known = sweeps(_folders([f"{key}={value}" for key, value in given]))
    path = Path(name) if name.endswith(".yaml") else known.get(name)
    if path is None or not path.is_file():
        raise unknown("sweep", names[-1], known, remedy="give one of these names, or a path ending in .yaml")
    return validate(SweepFile, _read(path), f"sweep file {path.name}"), path.stem


def _read(path: Path) -> Any:
    """The values of a sweep file; references to other options stay in its overrides, for Hydra to follow."""
    values = read_yaml(path, resolve=False) or {}
    if not isinstance(values, dict):
        return values
    overrides = values.pop("overrides", ())
    if isinstance(overrides, list):
        overrides = [_followed_or_left(override) for override in overrides]
    return {**_followed(values, str(path)), "overrides": overrides}


def _followed_or_left(override: Any) -> Any:
    with suppress(ConfigError):
        return _followed([override], str(override))[0]
    return override


def _followed(values: Any, where: str) -> Any:
    """`values` with what they refer to, such as ${oc.env:HOME}, in its place. Raises ConfigError."""
    try:
        return OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise unresolved(error, where) from None


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
