"""What is lost by hyper-parameters that were searched in another setting.

Each method is searched in each cell. The values that win in one are then used in every other. The score (norm) is the
Euclidean norm of the four losses by which the protocol judges a trial, 0 is best, the mean over report seeds, which are
others in each repeat; no search has seen any of them. Values that diverge count as the largest norm there is, 1.155. A
line is whose values they are, a column where they are used. Where both are the same cell, the norm of the searched
values stands. Elsewhere it is the regret: the norm with these values less that with the searched ones, 0 if nothing is
lost, and after x the ratio of the two (geometric mean). "elsewhere" is the mean over all other cells. "default values"
are those of the method; "nearest" are those of the other cell that hparams=nearest would take. "refused" are values
that the network there cannot have. A search without a completed trial leaves default values. A repeat is a whole search
in every cell on originals of its own; transferred and searched values are paired by repeat. Intervals are Student's t
at 95 %: for one method over repeats, for all over the means of methods, since repeats of one method say nothing of
others. They do not cover which cells were taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from anytime import Interval, ratio, ratio_over_methods
from common import Options
from heldout import DEFAULTS, HeldOut, Plan, held_out_of, seconds_left

from deepunlearn.analysis.nearness import Setting, distance
from deepunlearn.config import Command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.params import Value
from deepunlearn.core.progress import Progress, duration
from deepunlearn.launch.nearest import setting_of_cell
from deepunlearn.launch.plan import Planner

NEAREST, ALL, ELSEWHERE, REFUSED = "nearest", "all", "elsewhere", "refused"
Norms = Mapping[tuple[str, str], Sequence[float] | None]  # whose values, where -> by repeat; None: refused


@dataclass(frozen=True)
class Row:
    """Whose values, of one method or of all together; values: what they lose in each cell, and elsewhere."""

    columns: tuple[str, ...]
    method: str
    source: str
    values: tuple[str, ...]

    def cells(self) -> list[str]:
        return [self.method, self.source, *self.values]


@dataclass(frozen=True)
class Matrix:
    """norms: by method, with values of each cell and default ones; nearest: of each cell the nearest other one."""

    cells: Sequence[str]
    norms: Mapping[str, Norms]
    nearest: Mapping[str, str]

    def rows(self) -> Iterator[Row]:
        columns = ("method", "values of", *self.cells, ELSEWHERE)
        groups = [(method, [method]) for method in self.norms] + [(ALL, list(self.norms))]
        for (title, methods), source in product(groups, (*self.cells, NEAREST, DEFAULTS)):
            values = [self._value(methods, source, target) for target in self.cells]
            others = [target for target in self.cells if target != source]
            yield Row(columns, title, source, (*values, self._lost(methods, source, others)))

    def _value(self, methods: Sequence[str], source: str, target: str) -> str:
        if source != target:
            return self._lost(methods, source, [target])
        norms = [self._mean(method, [(target, target)]) for method in methods]
        return str(_over(norms)) if all(norms) else REFUSED

    def _lost(self, methods: Sequence[str], source: str, targets: Sequence[str]) -> str:
        """Of the mean over `targets`."""
        searched = {method: self._mean(method, [(target, target) for target in targets]) for method in methods}
        used = {method: self._mean(method, [(source, target) for target in targets]) for method in methods}
        if not all((*searched.values(), *used.values())):
            return REFUSED
        regret = _over([[a - b for a, b in zip(used[one], searched[one], strict=True)] for one in methods])
        return f"{regret}; x {_times(used, searched)}"

    def _mean(self, method: str, places: Sequence[tuple[str, str]]) -> list[float]:
        """In each repeat, over places; nothing where one refuses the values."""
        norms = [self._of(method, *place) for place in places]
        if None in norms:
            return []
        return [math.fsum(values) / len(values) for values in zip(*norms, strict=True)]

    def _of(self, method: str, source: str, target: str) -> Sequence[float] | None:
        return self.norms[method][self.nearest[target] if source == NEAREST else source, target]


def _over(values: Sequence[Sequence[float]]) -> Interval:
    """Of one method over its repeats, of several over their means."""
    return Interval.of(values[0] if len(values) == 1 else [Interval.of(own).mean for own in values])


def _times(used: Mapping[str, Sequence[float]], searched: Mapping[str, Sequence[float]]) -> str:
    if len(used) > 1:
        return str(ratio_over_methods(used, searched))
    (method,) = used
    return str(ratio(used[method], searched[method]))


# ---------------------------------------------------------------------------------------------------------- the scores


def rows(options: Options) -> list[Row]:
    plan = Plan(options)
    cells = list(dict.fromkeys(options.searching.cells))
    assert len(cells) > 1, "give two cells or more: --cells arch=smallnet arch=resnet18"
    print(estimate(plan, cells), flush=True)
    search = plan.searches[0]
    for cell, repeat in product(cells, plan.repeats):
        plan.run(cell, search, repeat)
    repeats = [_norms({cell: plan.command(cell, search, repeat) for cell in cells}) for repeat in plan.repeats]
    return list(Matrix(cells, _joined(repeats), nearest_of(_settings(plan, cells))).rows())


def estimate(plan: Plan, cells: Sequence[str]) -> str:
    """Each method is reported with the values of every cell and its default ones, in every cell."""
    commands = {cell: [plan.command(cell, plan.searches[0], repeat) for repeat in plan.repeats] for cell in cells}
    seconds = sum(seconds_left(own, lambda _: len(cells) + 1.0) for own in commands.values())
    return f"about {duration(seconds)} on this device, of which what is stored is not counted"


def _norms(commands: Mapping[str, Command]) -> dict[str, dict[tuple[str, str], float | None]]:
    """Of one repeat whose sweeps have ended, by method: whose values, where -> norm."""
    held_out = {cell: {one.method.name: one for one in held_out_of(command)} for cell, command in commands.items()}
    found: dict[str, dict[tuple[str, str], float | None]] = {}
    for method in next(iter(held_out.values())):
        values = {cell: _winner(own[method]) for cell, own in held_out.items()} | {DEFAULTS: {}}
        found[method] = {
            (source, target): _norm(held_out[target][method], params)
            for (source, params), target in product(values.items(), commands)
        }
    return found


def _winner(held_out: HeldOut) -> dict[str, Value]:
    """Nothing, which default values complete, where no trial was completed."""
    entry = held_out.winner
    return entry.json("winner.json")["params"] if entry else {}


def _norm(held_out: HeldOut, params: dict[str, Value]) -> float | None:
    """None where these values are refused, as hparams=FILE would."""
    experiment, method = held_out.experiment, held_out.method
    try:
        values = method.complete(params)
        experiment.keys.check_blocks(method, values, experiment.cell.arch.blocks)
    except ConfigError:
        return None
    return held_out.norm(values)


def _joined(repeats: Sequence[Mapping[str, Mapping[tuple[str, str], float | None]]]) -> dict[str, Norms]:
    """By repeat; values that are refused in one repeat are refused."""
    joined: dict[str, Norms] = {}
    for method in repeats[0]:
        places = {place: [one[method][place] for one in repeats] for place in repeats[0][method]}
        joined[method] = {place: None if None in norms else norms for place, norms in places.items()}
    return joined


def _settings(plan: Plan, cells: Sequence[str]) -> dict[str, Setting]:
    planners = {
        cell: Planner(plan.command(cell, plan.searches[0], 0).sweep, Progress(quiet=True), only_plan=True)
        for cell in cells
    }
    return {cell: setting_of_cell(planner, 0) for cell, planner in planners.items()}


def nearest_of(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Of each cell the nearest other one; of equally near ones the first."""
    names = list(settings)
    away = np.array([[distance(settings[own], settings[other]) for other in names] for own in names])
    np.fill_diagonal(away, math.inf)
    return {name: names[int(closest)] for name, closest in zip(names, away.argmin(1), strict=True)}
