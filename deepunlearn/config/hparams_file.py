"""Files of hyper-parameters, as a sweep writes them: `hparams=FILE` and `search.winners=FILE`."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from deepunlearn.config.files import read_yaml
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import is_readable
from deepunlearn.core.schema import SweepConfig

NEAREST = "nearest"  # hparams=nearest: what searches in stored settings near to each cell have found


def read_hparams(path: str | None, option: str = "hparams") -> dict[str, Any]:
    """`hparams=FILE`, or another option with such a file: dataset/arch/method -> values.

    Nothing for `hparams=nearest`, whose values are not known before the cells are (`launch.nearest`).
    """
    if path is None or (option, path) == ("hparams", NEAREST):
        return {}
    file = Path(path).expanduser()
    if not is_readable(file, option):
        raise ConfigError(
            "there is no such file of hyper-parameters",
            given=f"{option}={path}",
            allowed="a YAML file as a sweep writes it: results/runs/RUN/hparams.yaml"
            + (f"; or {NEAREST}" if option == "hparams" else ""),
            remedy=f"give {option}=FILE with the path of an existing file",
        )
    values = read_yaml(file)
    if not isinstance(values, dict) or not values or not all(map(_is_entry, values, values.values())):
        raise ConfigError(
            f"{file.name} does not hold hyper-parameters",
            given=str(values)[:200],
            allowed="DATASET/ARCH/METHOD: {name: value, ...}",
            remedy="give a file that a sweep wrote, results/runs/RUN/hparams.yaml, or write one like it",
        )
    return values


def _is_entry(name: Any, values: Any) -> bool:
    return isinstance(name, str) and isinstance(values, dict)


def check_fixed(sweep: SweepConfig, whose: str) -> None:
    """Raises ConfigError where a command fixes a value of which `hparams` has another; whose: hparams=FILE."""
    for cell, method in product(sweep.cells, sweep.methods):
        entry = sweep.entry_of(cell, method.name)
        values = {} if entry is None else sweep.hparams[entry]
        for name, fixed in method.fixed.items():
            if (value := values.get(name)) not in (None, fixed):
                raise ConfigError(
                    f"{name} of method {method.name} is fixed by the command, and {whose} has another value",
                    given=f"{name}={fixed}, and {name}={value} in the entry {entry}",
                    allowed="one value of each hyper-parameter",
                    remedy=f"leave {name} out of the command, or give hparams=FILE whose entry {entry} has no {name}",
                )


def check_winners(winners: dict[str, Any], methods: list[str], path: str | None) -> None:
    """Raises ConfigError where a file has nothing that a search of these methods could begin with."""
    there = {name.rpartition("/")[2] for name in winners}
    if winners and not there & {*methods}:
        raise ConfigError(
            "search.winners has no values for any method of the sweep",
            given=f"search.winners={path} with {', '.join(sorted(there))}",
            allowed=f"DATASET/ARCH/METHOD with a METHOD among {', '.join(methods)}",
            remedy="give the hparams.yaml of a run with these methods, or leave search.winners out",
        )
