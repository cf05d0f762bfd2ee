"""What is wrong with a sweep is found here, before anything expensive starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.paths import check_writable
from deepunlearn.launch.plan import Planner
from deepunlearn.search.slots import DEFAULTS, prepare_storage

if TYPE_CHECKING:
    from deepunlearn.runtime import Runtime


def check(planner: Planner) -> dict[int, int]:
    """Find what is wrong with a sweep before anything expensive starts. Raises DeepUnlearnError.

    Returns the bytes of memory that the network of each cell needs at least, where it had to be looked at.
    """
    sweep = planner.sweep
    check_writable(planner.results.root)
    if sweep.search.sampler and sweep.search.storage not in (None, *DEFAULTS):
        prepare_storage(sweep.search, planner.results.search)
    needed: dict[int, int] = {}
    for cell, keys in enumerate(planner.keys):
        planner.sizes(cell)
        blocks = planner.sweep.cells[cell].arch.blocks
        if planner.sweep.cells[cell].arch.identity is not None:
            blocks, needed[cell] = _inspect(planner, cell)
        if cell == 0:
            _check_originals(planner)
        for method in sweep.methods:
            _check_bank(planner, cell, method)
            if keys.source(sweep, method) == "search":
                keys.ranges(method, sweep.search)
                _check_winners(planner, cell, method)
                keys.check_blocks(method, method.fixed, blocks)
            else:
                keys.check_blocks(method, keys.given(sweep, method), blocks)
    return needed


def _check_winners(planner: Planner, cell: int, method: MethodConfig) -> None:
    """Raises ConfigError where a search has fewer trials than values that it is to begin with."""
    search = planner.sweep.search
    starts = planner.keys[cell].starts(method, search)
    count = len(starts) + (search.seeds - 1 if search.stops_early else 0)  # default values on each seed
    if search.winners and count > search.trials:
        raise ConfigError(
            f"the search for {method.name} is to begin with more values than it has trials",
            given=f"search.trials={search.trials}, and values of {', '.join(starts)}",
            allowed=f"search.trials >= {count}, or search.winners=FILE with fewer entries for {method.name}",
            remedy=f"give search.trials={count} or more",
        )


def blocks_of(planner: Planner, cell: int) -> int | None:
    """How many blocks a cell's network has; null: not known. Raises ConfigError where it cannot serve."""
    arch = planner.sweep.cells[cell].arch
    if arch.identity is None:
        return arch.blocks
    from deepunlearn.archs.inspection import inspected  # noqa: PLC0415

    return inspected(arch, planner.keys[cell].classes, planner.network_inputs(cell)).blocks


def _check_bank(planner: Planner, cell: int, method: MethodConfig) -> None:
    """Raises ConfigError where a bank lacks scores of samples that are forgotten, as far as these are known."""
    if method.bank is not None:
        splits = planner.splits(cell)
        for seed in splits.seeds:
            planner.keys[cell].check_bank(method, splits.of(seed))


def _inspect(planner: Planner, cell: int) -> tuple[int | None, int]:
    """The blocks of a cell's network, and bytes that its training needs. Raises ConfigError where it cannot serve."""
    from deepunlearn.archs.inspection import inspected  # noqa: PLC0415  for networks of ours torch is not needed yet

    config = planner.sweep.cells[cell]
    inspection = inspected(config.arch, planner.keys[cell].classes, planner.network_inputs(cell))
    if inspection.head_left:
        planner.progress.say(
            f"{config.name}: the head is initialised anew, as {config.arch.weights} has none for "
            f"{planner.keys[cell].classes} classes: {', '.join(inspection.head_left)}"
        )
    return inspection.blocks, inspection.bytes_at(config.train.batch_size)


def _check_originals(planner: Planner) -> None:
    """Whether originals that are given are such networks; they are the same for all cells. Raises ConfigError."""
    config = planner.sweep.cells[0]
    if config.given is not None:
        from deepunlearn.given_model import check_originals  # noqa: PLC0415  needs torch

        check_originals(config.arch, planner.keys[0].classes, planner.network_inputs(0), config.given)


def check_memory(planner: Planner, needed: Mapping[int, int], runtime: Runtime) -> None:
    """needed: bytes of each cell, as `check` returns them. Raises ConfigError where that is more than there is."""
    limit = runtime.memory()
    for cell, least in needed.items():
        if limit is not None and least > limit:
            raise ConfigError(
                f"{planner.sweep.cells[cell].name} needs more memory than {runtime.device_name()} has",
                given=f"at least {least / 1e9:.1f} GB for a training step of train.batch_size="
                f"{planner.sweep.cells[cell].train.batch_size}",
                allowed=f"{limit / 1e9:.1f} GB",
                remedy="lower train.batch_size or dataset.image_size, or choose a smaller network",
            )


def check_methods(methods: Iterable[MethodConfig]) -> None:
    """Raises ConfigError for code that cannot be loaded, or that disagrees with its YAML."""
    from deepunlearn.composition import make_method  # noqa: PLC0415

    for method in methods:
        make_method(method, method.complete({}))
