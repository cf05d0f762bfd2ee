"""`hparams=nearest`: no search, but for each cell and method the values that the nearest stored search has found.

Nearest is as for `method=auto` of a deletion request (`analysis.nearness`). Of equally near settings the one with more
report seeds counts, then that with more trials. What is picked is written to `<results>/nearest/` before anything
runs, and the same command reads it from there: however many searches end meanwhile, it goes on with the same values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from omegaconf import OmegaConf

from deepunlearn.analysis import records
from deepunlearn.analysis.nearness import Setting, differences, distance, in_words, name_of, setting_of
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.config.hparams_file import read_hparams
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import hash_of_sweep

SHOWN = 0.05  # points below which a difference is not told
REMEDY = (
    "search some cell first (search=thrifty, without hparams=), give hparams=FILE, or search=none for default values"
)


class Pick(NamedTuple):
    """entry: "<cell>/<method>", as in an hparams.yaml; whose: the setting that the values were searched in."""

    entry: str
    values: dict[str, Value]
    whose: str


def with_nearest(sweep: SweepConfig, progress: Progress, *, only_plan: bool) -> SweepConfig:
    """`sweep` with the values that it had at its first run, or else with what is nearest now.

    only_plan: nothing is written. Raises ConfigError where a method has no stored winner of a search.
    """
    planner = Planner(sweep, progress, only_plan=True)
    file = planner.results.root / "nearest" / f"{hash_of_sweep(sweep)}.yaml"
    if file.is_file():
        values = read_hparams(str(file))
        progress.say(f"hparams=nearest: as picked when this sweep began, {file}")
    else:
        picks = list(_picks(planner))
        for pick in picks:
            progress.say(f"hparams=nearest: {pick.entry}: {pick.whose}")
        values = {pick.entry: pick.values for pick in picks}
        if not only_plan:
            write_atomically(file, _text(picks))
    return sweep.model_copy(update={"hparams": values})


def _text(picks: Sequence[Pick]) -> str:
    """An hparams.yaml that says above each entry whose values these are."""
    values = [OmegaConf.to_yaml(OmegaConf.create({one.entry: dict(sorted(one.values.items()))})) for one in picks]
    return "".join(f"# {pick.whose}\n{text}" for pick, text in zip(picks, values, strict=True))


# ----------------------------------------------------------------------------------------------------------- picking


class _Winner(NamedTuple):
    """What a search found for a method; rows: those of its models."""

    method: str
    setting: Setting
    name: str
    rows: pd.DataFrame

    @property
    def params(self) -> dict[str, Value]:
        values: dict[str, Value] = json.loads(str(self.rows["params"].iloc[0]))
        return values


def _picks(planner: Planner) -> Iterator[Pick]:
    winners = _winners(planner.results.root)
    missing = [one.name for one in planner.sweep.methods if not any(_fits(one, winner) for winner in winners)]
    if missing:
        raise ConfigError(
            f"no search is stored for {', '.join(missing)}",
            given=f"hparams=nearest results={planner.results.root}",
            allowed=f"methods with a stored winner: {', '.join(sorted({one.method for one in winners})) or '(none)'}",
            remedy=REMEDY,
        )
    for cell, config in enumerate(planner.sweep.cells):
        wanted = _setting(planner, _first_round(planner, cell))
        for method in planner.sweep.methods:
            best = min((one for one in winners if _fits(method, one)), key=partial(_order, wanted))
            yield Pick(f"{config.name}/{method.name}", method.complete(best.params), _words(wanted, best))


def _first_round(planner: Planner, cell: int) -> int:
    """The cell whose values those of `cell` are, as with a search of the first round."""
    while (before := planner.before(cell)) is not None:
        cell = before
    return cell


def _winners(results: Path) -> list[_Winner]:
    """All winners of searches that rows of `results` rest on; of rounds after one another the first ones'."""
    if not results.is_dir():
        return []
    rows = current(records.gather([results]).rows)
    searched = rows[~rows["method"].isin(REFERENCES) & rows["trials"].notna() & (rows["round"].fillna(1) == 1)]
    return [
        _Winner(str(method), setting_of(own), name_of(own), own)
        for (_, _, method), own in searched.groupby(["cell", "result_set", "method"], sort=True)
    ]


def _fits(method: MethodConfig, winner: _Winner) -> bool:
    """Whether it is one of this method as it is now, whose values it takes."""
    if (winner.method, int(winner.rows["method_version"].iloc[0])) != (method.name, method.version):
        return False
    try:
        method.complete(winner.params)
    except ConfigError:
        return False
    return True


def _setting(planner: Planner, cell: int) -> Setting:
    config, sizes, splits = planner.sweep.cells[cell], planner.sizes(cell), planner.splits(cell)
    return Setting(
        dataset=config.dataset.name,
        arch=config.arch.name,
        classes=planner.keys[cell].classes,
        samples=sizes["retain"] + sizes["forget"],
        forgotten=sizes["forget"],
        whole_classes=any(splits.of(seed).forgotten_classes for seed in splits.seeds),
    )


def _order(wanted: Setting, winner: _Winner) -> tuple[float, int, float, str]:
    """The nearest first; of equally near ones that with more seeds, then that of more trials, then by its key."""
    rows = winner.rows
    return distance(wanted, winner.setting), -rows["seed"].nunique(), -float(rows["trials"].max()), winner.name


def _words(wanted: Setting, winner: _Winner) -> str:
    """Whose values they are, how near that is and what differs."""
    points, first = distance(wanted, winner.setting), winner.rows.iloc[0]
    told = [one for one in differences(wanted, winner.setting) if one.points >= SHOWN]
    differing = "; ".join(f"{one.words} ({one.points:.1f})" for one in told)
    near = in_words(points) + (f", {points:.1f} points: {differing}" if differing else "")
    return f"found by search={first['search']} ({int(first['trials'])} trials) for {winner.name}; {near}"
