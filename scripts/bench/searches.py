"""Searches, by what their winners score on seeds that were not searched on, against device seconds.

A repeat is a whole search of each kind on originals of its own; all kinds have the same ones. The score (norm) is the
Euclidean norm of the four losses by which the protocol judges a trial, 0 is best, the mean over report seeds, which are
others in each repeat; none has been searched on. Values that diverge there count as the largest norm there is, 1.155.
Device seconds are the wall seconds of all trials, pruned and failed ones and scoring included, and of what selection
runs again; the originals are not counted, which are the same for all. Below, "at 1/10" is the score of who stops when a
tenth of the baseline's seconds is spent, all studies of a search having gone on in turn; before the first trial with a
score these are default values. Ratios are to the baseline's final score, paired by repeat, geometric means: below 1 is
better than the whole baseline. Intervals are Student's t at 95 %, which a bootstrap of so few repeats would make too
narrow: for one method over repeats, for all over the means of methods, since repeats of one method say nothing of
others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from anytime import Curve, Interval, Trial, bests, in_turns, mean_curve, ratio, ratio_over_methods
from common import Options
from curves import Curves, Found
from heldout import DEFAULTS, HeldOut, Plan, held_out_of, seconds_left
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.analysis.figures.style import COLOURS, LINES
from deepunlearn.config import Command
from deepunlearn.core.progress import duration
from deepunlearn.search.objective import Losses
from deepunlearn.search.selection import studies_of
from deepunlearn.search.slots import seconds_of

COLUMNS = 3  # of panels in the figure
FEW = 5  # searches whose ranges over repeats can be told apart
KEY, LETTER, KEY_LINE = 0.7, 0.085, 0.21  # inches of a name in the figure's key without its letters, of one, of a line
SHARES = {"at 1/10": 0.1, "at 1/3": 1 / 3}


@dataclass(frozen=True)
class Row:
    """A search and a method, or all methods together."""

    columns: ClassVar[tuple[str, ...]] = (
        "network", "method", "search", "device seconds", "of the baseline's", "norm on other seeds", "ratio",
        *(f"ratio {words}" for words in SHARES), "repeats",
    )  # fmt: skip
    arch: str
    method: str
    search: str
    values: tuple[str, ...]

    def cells(self) -> list[str]:
        return [self.arch, self.method, self.search, *self.values]


@dataclass(frozen=True)
class Measured:
    """Of one network: curves by search, method and repeat."""

    arch: str
    curves: Mapping[str, Mapping[str, Sequence[Curve]]]
    baseline: str

    def rows(self) -> Iterator[Row]:
        methods = list(self.curves[self.baseline])
        for method in methods:
            yield from (Row(self.arch, method, search, self._of(search, method)) for search in self.curves)
        yield from (Row(self.arch, "all", search, self._of_all(search)) for search in self.curves)

    def _of(self, search: str, method: str) -> tuple[str, ...]:
        own, base = self.curves[search][method], self.curves[self.baseline][method]
        finals = [curve.final for curve in base]
        seconds = Interval.of([curve.total for curve in own]).mean
        share = seconds / Interval.of([curve.total for curve in base]).mean
        stopped = [ratio(self._at(own, base, part), finals) for part in SHARES.values()]
        norms = [curve.final for curve in own]
        every = [Interval.of(norms), ratio(norms, finals), *stopped]
        return rounded(seconds), f"{share:.3f}", *map(str, every), str(len(own))

    def _of_all(self, search: str) -> tuple[str, ...]:
        own, base = self.curves[search], self.curves[self.baseline]
        finals = {method: [curve.final for curve in curves] for method, curves in base.items()}
        seconds, of_base = (sum(curve.total for curves in one.values() for curve in curves) for one in (own, base))
        ratios = [
            ratio_over_methods({method: [curve.final for curve in own[method]] for method in base}, finals),
            *(
                ratio_over_methods({method: self._at(own[method], base[method], part) for method in base}, finals)
                for part in SHARES.values()
            ),
        ]
        repeats = sum(len(curves) for curves in own.values())
        return rounded(seconds), f"{seconds / of_base:.3f}", "", *map(str, ratios), str(repeats)

    @staticmethod
    def _at(own: Sequence[Curve], base: Sequence[Curve], part: float) -> list[float]:
        return [curve.at(part * other.total) for curve, other in zip(own, base, strict=True)]


def rounded(seconds: float) -> str:
    """Whole seconds, and of a small search as many digits as three."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def rows(options: Options) -> list[Row]:
    plan, kept = Plan(options), Curves.read(options.searching.curves)
    print(estimate(plan, kept), flush=True)
    measured = [_measured(plan, kept, arch) for arch in options.searching.archs]
    if options.figures is not None:
        draw(measured, options.figures / "searches.svg")
    return [row for one in measured for row in one.rows()]


def made(options: Options) -> str:
    """Where curves that are kept were measured; seconds are those of that machine."""
    plan, kept = Plan(options), Curves.read(options.searching.curves)
    places = product(options.searching.archs, plan.searches, plan.repeats, plan.methods)
    found = [kept.find(_of(plan, *place)) for place in places]
    told = sorted({one.made for one in found if one})
    return f" Measured on {'; '.join(told)}." if told else ""


def estimate(plan: Plan, kept: Curves) -> str:
    """What is left to compute, from a few timed steps of each network."""
    seconds = sum(_seconds_left(plan, kept, arch) for arch in plan.options.searching.archs)
    return f"about {duration(seconds)} on this device, of which what is stored is not counted"


def _seconds_left(plan: Plan, kept: Curves, arch: str) -> float:
    left = ((one, _missing(plan, kept, arch, *one)) for one in product(plan.searches, plan.repeats))
    return seconds_left((plan.command(f"arch={arch}", *one, methods) for one, methods in left if methods), _times)


def _times(command: Command) -> float:
    """Each trial that is the best so far is reported, of n about log n + 0.58."""
    search = command.sweep.search
    return 1.0 + math.log(search.trials * search.studies) + float(np.euler_gamma)


# ---------------------------------------------------------------------------------------------------------- the curves


def _measured(plan: Plan, kept: Curves, arch: str) -> Measured:
    curves: dict[str, dict[str, list[Curve]]] = {DEFAULTS: {}}
    for repeat, search in product(plan.repeats, plan.searches):  # so that a slower hour slows all searches of a repeat
        if missing := _missing(plan, kept, arch, search, repeat):
            plan.run(f"arch={arch}", search, repeat, missing)
            for held_out in held_out_of(plan.command(f"arch={arch}", search, repeat, missing)):
                kept.add(_of(plan, arch, search, repeat, held_out.method.name), _found(held_out))
        for method in plan.methods:
            found = kept.find(_of(plan, arch, search, repeat, method))
            assert found is not None, "it was kept above"
            curves.setdefault(search, {}).setdefault(method, []).append(found.curve)
            if search == plan.searches[0]:
                curves[DEFAULTS].setdefault(method, []).append(Curve((0.0,), (found.default,), 0.0))
    return Measured(arch, curves, plan.searches[0])


def _missing(plan: Plan, kept: Curves, arch: str, search: str, repeat: int) -> list[str]:
    return [method for method in plan.methods if kept.find(_of(plan, arch, search, repeat, method)) is None]


def _of(plan: Plan, arch: str, search: str, repeat: int, method: str) -> tuple[str, ...]:
    """What a curve depends on, but for the images: the command of its sweep, and what its search and method mean."""
    own = plan.options.searching
    arguments = plan.arguments(f"arch={arch}", search, repeat, [method])
    meant = plan.meant(f"arch={arch}", search, method)
    return (*arguments, f"dataset={own.dataset}", f"dataset.limit={plan.limit}", f"meant={meant}")


def _found(held_out: HeldOut) -> Found:
    default = held_out.norm(held_out.method.complete({}))
    return Found.here(_curve(held_out, default), default)


def _curve(held_out: HeldOut, default: float) -> Curve:
    studies = studies_of(held_out.experiment, held_out.command.sweep, held_out.method)
    finished = {(study.seeds[0], slot): trial for study in studies for slot, trial in study.finished().items()}
    wanted = sum(study.wanted for study in studies)
    assert len(finished) == wanted, "the search has not ended: see its sweep's failures"
    trials = [_trial(*place, trial) for place, trial in finished.items()]
    spent = sum(trial.seconds for trial in trials)
    found = bests(in_turns(trials))
    if not found:
        return Curve((0.0,), (default,), spent)
    entry = held_out.winner
    assert entry is not None, "a search with a completed trial has a winner"
    total = spent + entry.meta["seconds"]
    norms = [held_out.norm(finished[trial.seed, trial.slot].user_attrs["params"]) for _, trial in found]
    chosen = held_out.norm(entry.json("winner.json")["params"])
    return Curve((0.0, *(seconds for seconds, _ in found), total), (default, *norms, chosen), total)


def _trial(seed: int, slot: int, trial: FrozenTrial) -> Trial:
    seconds, scored = seconds_of(trial), trial.state == TrialState.COMPLETE
    assert seconds is not None
    return Trial(slot, seed, seconds, Losses(*trial.user_attrs["losses"]).norm if scored else None)


# ---------------------------------------------------------------------------------------------------------- the figure


def draw(measured: Sequence[Measured], path: Path) -> None:
    """A panel for each network and method: means over repeats, ranges of `FEW` alone; seconds on a logarithmic axis."""
    shown = [(one, method) for one in measured for method in one.curves[one.baseline]]
    columns = min(COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(0.8 + 2.9 * columns, 0.9 + 2.3 * lines), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for axes, (one, method) in zip(panels, shown, strict=False):
        for number, (search, curves) in enumerate(one.curves.items()):
            _line(axes, curves[method], search, number, ranges=len(one.curves) <= FEW)
        axes.set(title=f"{one.arch}, {method}", xscale="log", ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:g}")
    for axes in panels:
        axes.set_visible(False)
    figure.supxlabel("device seconds, logarithmic")
    figure.supylabel("norm on seeds not searched on (0 is best)")
    handles, names = figure.axes[0].get_legend_handles_labels()
    room = max(1, int(figure.get_figwidth() / (KEY + LETTER * max(map(len, names)))))
    figure.set_figheight(figure.get_figheight() + KEY_LINE * (math.ceil(len(names) / room) - 1))
    figure.legend(handles, names, loc="outside upper center", ncols=room)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "searches"}):  # so that a figure that is drawn again is the same file
        figure.savefig(path, metadata={"Date": None})


def _line(axes: Axes, curves: Sequence[Curve], search: str, number: int, ranges: bool) -> None:
    look: Any = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
    if search == DEFAULTS:
        axes.axhline(mean_curve(curves, [0.0])[0, 0], label=search, **look)
        return
    grid = sorted({seconds for curve in curves for seconds in (*curve.seconds[1:], curve.total)})
    table = mean_curve(curves, grid)
    axes.step(grid, table[:, 0], where="post", label=search, **look)
    if ranges:
        axes.fill_between(grid, table[:, 1], table[:, 2], step="post", color=look["color"], alpha=0.15, linewidth=0)
