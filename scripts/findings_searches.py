"""Questions of docs/findings.md about searches: 8, whether one on report seeds flatters, and 9, whether one gains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from findings_answers import AGREES, CONTRADICTS, NOT_RUN, UNDECIDED, Answer, Floats, Interval, on_cifar
from findings_cells import AS_THE_PAPER, CELLS, CIFAR, DEFAULTS, Cell, Findings

from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, differences, holm, paired_t

SEARCHED_ON = (0, 1, 2)  # report seeds that protocol=paper searches on, too


def search_flatters(found: Findings) -> Answer:
    """Question 8."""
    theirs, ours = found.cell(AS_THE_PAPER), found.cell(CELLS[CIFAR])
    if theirs is None or ours is None:
        return on_cifar(NOT_RUN)
    tables = [cell.bad("RetDev") for cell in (theirs, ours)]
    common = [method for method in tables[0] if method in tables[1]]
    behind = [table.loc[~_first(table), common].mean() - table.loc[_first(table), common].mean() for table in tables]
    change = (behind[0] - behind[1]).dropna()
    interval = Interval.of(change.to_numpy(float))
    if interval is None:
        return on_cifar(UNDECIDED, f"{len(change)} methods are too few: {FEWEST_SEEDS} are needed")
    verdict = AGREES if interval.low > 0 else CONTRADICTS if interval.high < 0 else UNDECIDED
    return on_cifar(verdict, f"{', '.join(f'{name} {one:+.3f}' for name, one in change.items())}; mean {interval}")


def _first(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.isin(table.index.to_numpy(), SEARCHED_ON)


def search_gains(found: Findings) -> Answer:
    """Question 9. A method that one of the two makes unusable on some seed, and the other not, differs, too."""
    default, searched = found.cell(DEFAULTS), found.cell(CELLS[CIFAR])
    both = [] if default is None or searched is None else [one for one in default.methods if one in searched.methods]
    if default is None or searched is None or not both:
        return on_cifar(NOT_RUN)
    gains, seeds = _gains(default, searched)
    if seeds < FEWEST_SEEDS:
        return on_cifar(UNDECIDED, f"fewer than {FEWEST_SEEDS} seeds")
    differ = _significant(gains)
    better = [one for one in both if differ.get(one, 0) > 0 or (one in searched.whole and one not in default.whole)]
    worse = [one for one in both if differ.get(one, 0) < 0 or (one in default.whole and one not in searched.whole)]
    told = f"of {len(both)} methods better {', '.join(better) or 'none'}; worse {', '.join(worse) or 'none'}"
    intervals = [f"{name} {Interval.of(one)}" for name, one in gains.items()]
    intervals += [_in_words(one, default, searched) for one in both if one not in gains]
    verdict = AGREES if len(better) > len(both) / 2 else CONTRADICTS if not better else UNDECIDED
    return on_cifar(verdict, told, f"RetDev, default less searched: {'; '.join(intervals)}")


def _gains(default: Cell, searched: Cell) -> tuple[dict[str, Floats], int]:
    """Method -> default less searched on each seed, of those that are usable on every seed of both; how many seeds."""
    tables = default.bad("RetDev"), searched.bad("RetDev")
    seeds = tables[0].index.intersection(tables[1].index)
    common = [str(method) for method in tables[0] if method in tables[1]]
    gains = {name: differences(*(table[name].loc[seeds].to_numpy(float) for table in tables)) for name in common}
    return gains, len(seeds)


def _significant(gains: Mapping[str, Floats]) -> dict[str, float]:
    """Method -> sign of its mean; 0 where it may be chance."""
    p = holm(np.array([paired_t(one) for one in gains.values()]))
    return {name: float(np.sign(one.mean()) * (p[at] < LEVEL)) for at, (name, one) in enumerate(gains.items())}


def _in_words(method: str, default: Cell, searched: Cell) -> str:
    return f"{method} {default.told('RetDev', method)}, searched {searched.told('RetDev', method)}"
