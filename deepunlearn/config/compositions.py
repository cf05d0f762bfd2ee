"""Which configurations a command composes: of each cell and method, with as few calls of Hydra as will do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import product
from typing import Any, NamedTuple

from hydra import initialize_config_dir
from omegaconf import DictConfig

from deepunlearn.config import arguments as words
from deepunlearn.config.composing import composed, unresolved_config
from deepunlearn.config.files import options
from deepunlearn.config.grid import Cell, read_grid
from deepunlearn.config.known import default_of
from deepunlearn.config.methods import METAS
from deepunlearn.config.settings import Setting, read_settings, settings_of
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.registry import Folders, registered

STEP = re.compile(rf"({'|'.join(METAS)})\.\d+\.")  # chain.0.lr=0.01: a hyper-parameter of a chain's step


def composing() -> AbstractContextManager[Any]:
    """Hydra, ready to compose `conf/`."""
    return initialize_config_dir(version_base="1.3", config_dir=str(shipped("conf").absolute()))


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
    overrides = opened([override for override in grid.overrides if override not in steps])
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


def composed_at_once(
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


def composed_cells(cells: list[Cell], overrides: list[str]) -> list[dict[str, Any]]:
    """The values of each cell. What forget sets have in common is composed once, unless values may refer to others."""
    said = [*overrides, *(one for cell in cells for one in cell.forget.overrides)]
    if any("${" in one for one in said) or not {cell.forget.kind for cell in cells} <= options("forget").keys():
        return [_composed_cell(cell, overrides) for cell in cells]
    shared = {cell[:2]: cell for cell in reversed(cells)}
    pairs = {pair: _composed_cell(cell, overrides) for pair, cell in shared.items()}
    choices = dict.fromkeys(tuple(of_forget(cell)) for cell in cells)
    forget = {choice: composed([*choice])["forget"] for choice in choices}
    return [{**pairs[cell[:2]], "forget": forget[tuple(of_forget(cell))]} for cell in cells]


def _composed_cell(cell: Cell, overrides: list[str], method: Sequence[str] = ()) -> dict[str, Any]:
    return composed(_overrides_of(cell, overrides, method))


def _overrides_of(cell: Cell, overrides: list[str], method: Sequence[str]) -> list[str]:
    named = [f"{axis}={name}" for axis, name in (("dataset", cell.dataset), ("arch", cell.arch)) if name]
    others = [override for override in overrides if not override.startswith("method.")]
    return [*named, *of_forget(cell), *others, *method]


def of_forget(cell: Cell) -> list[str]:
    """What Hydra is given to compose the forget set of a cell."""
    return [f"forget={cell.forget.kind}", *cell.forget.overrides]


def opened(overrides: list[str]) -> list[str]:
    """With Hydra's leave for names that conf/ does not know, in the places where any name may stand."""
    local = {"launcher=local"} >= {one for one in overrides if one.startswith("launcher=")}
    return [
        f"++{one}" if words.FREE.match(one) and not (local and one.startswith("launcher.")) else one
        for one in overrides
    ]
