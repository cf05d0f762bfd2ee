"""`hparams=nearest`: no search, but for each cell and method the values that the nearest stored search has found.

Nearest is as for `method=auto` of a deletion request (`analysis.nearness`). Of equally near settings the one with more
report seeds counts, then that with more trials. A winner of the same dataset that was searched on a seed that is
reported now has seen the split of that seed: protocol=heldout passes it over, other protocols say so. What is picked
is written to `<results>/nearest/` before anything runs, and the same command reads it from there: however many
searches end meanwhile, it goes on with the same values.
"""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from omegaconf import OmegaConf

from deepunlearn.analysis import records
from deepunlearn.analysis.nearness import Setting, differences, distance, in_words, name_of, setting_of
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.config.hparams_file import NEAREST, check_fixed, read_hparams
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results, sync_folder, write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.launch.checks import blocks_of, check
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import hash_of_sweep

HELD_OUT = "heldout"  # the protocol that reports no seed that was searched on
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

    only_plan: nothing is written. Raises ConfigError where a method has no stored winner of a search whose values it
    can have, and for whatever else is wrong with the sweep: what is kept is used by the same command for good.
    """
    planner = Planner(sweep, progress, only_plan=True)
    file = planner.results.root / "nearest" / hash_of_sweep(sweep) / "hparams.yaml"
    if file.is_file():
        progress.say(f"hparams=nearest: as picked when this sweep began, {file}")
    else:
        picks = list(_picks(planner))
        picked = sweep.model_copy(update={"hparams": {pick.entry: pick.values for pick in picks}})
        check_fixed(picked, f"hparams={NEAREST}")
        if only_plan:
            _say(progress, ((pick.entry, pick.whose) for pick in picks))
            return picked
        check(Planner(picked, Progress(quiet=True)))
        _keep(file, _text(picks))
    _say(progress, _kept(file))
    return sweep.model_copy(update={"hparams": read_hparams(str(file))})


def _say(progress: Progress, told: Iterable[tuple[str, str]]) -> None:
    for entry, whose in told:
        progress.say(f"hparams=nearest: {entry}: {whose}")


def _keep(file: Path, text: str) -> None:
    """Store a pick, unless another process that began beside this one was first: all go on with what is stored.

    A rename never replaces a folder that is not empty, on whatever file system (as in `core.claims`).
    """
    draft = file.parent.with_name(f".{file.parent.name}.{uuid.uuid4().hex[:8]}")
    try:
        write_atomically(draft / file.name, text)
        draft.rename(file.parent)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    sync_folder(file.parent.parent)


def _text(picks: Sequence[Pick]) -> str:
    """An hparams.yaml that says above each entry whose values these are."""
    values = [OmegaConf.to_yaml(OmegaConf.create({one.entry: dict(sorted(one.values.items()))})) for one in picks]
    return "".join(f"# {pick.whose}\n{text}" for pick, text in zip(picks, values, strict=True))


def _kept(file: Path) -> Iterator[tuple[str, str]]:
    """Of a file as `_text` writes it: each entry and whose values it has, where that still stands above it."""
    for above, line in pairwise(file.read_text(encoding="utf-8").splitlines()):
        if above.startswith("# "):
            yield line.rstrip(":"), above.removeprefix("# ")


# ----------------------------------------------------------------------------------------------------------- picking


class _Winner(NamedTuple):
    """What a search found for a method; rows: those of its models; seeds: that it was searched on."""

    method: str
    setting: Setting
    name: str
    rows: pd.DataFrame
    seeds: frozenset[int]

    @property
    def params(self) -> dict[str, Value]:
        values: dict[str, Value] = json.loads(str(self.rows["params"].iloc[0]))
        return values


def _picks(planner: Planner) -> Iterator[Pick]:
    winners = _winners(planner.results.root)
    searched = [one for one in planner.sweep.methods if one.searched]
    missing = [one.name for one in searched if not any(_is_of(one, winner) for winner in winners)]
    if missing:
        raise ConfigError(
            f"no search is stored for {', '.join(missing)}",
            given=f"hparams=nearest results={planner.results.root}",
            allowed=f"methods with a stored winner: {', '.join(sorted({one.method for one in winners})) or '(none)'}",
            remedy=REMEDY,
        )
    for cell, config in enumerate(planner.sweep.cells):
        wanted = setting_of_cell(planner, _first_round(planner, cell))
        reported = planner.sweep.report_seeds(config)
        for method in planner.sweep.methods:
            entry = f"{config.name}/{method.name}"
            if method not in searched:
                yield Pick(entry, method.complete({}), "nothing is searched: fixed and default values")
                continue
            able = _able(planner, cell, method, [one for one in winners if _is_of(method, one)])
            if planner.sweep.protocol.name == HELD_OUT:
                able = _held_out(able, wanted, reported, entry)
            best = min(able, key=partial(_order, wanted))
            told = "; ".join([_words(wanted, best), *_warning(best, wanted, reported)])
            yield Pick(entry, method.complete(best.params), told)


def _able(planner: Planner, cell: int, method: MethodConfig, winners: Sequence[_Winner]) -> list[_Winner]:
    """Those whose values the network of a cell can have. Raises ConfigError where there is none."""
    keys, blocks = planner.keys[cell], blocks_of(planner, cell)
    able, refused = [], None
    for one in winners:
        try:
            keys.check_blocks(method, method.complete(one.params), blocks)
            able.append(one)
        except ConfigError as error:
            refused = error
    if refused is not None and not able:
        raise ConfigError(
            f"no stored search for {method.name} has found values that {planner.sweep.cells[cell].name} can have",
            given=f"hparams={NEAREST}, which finds {refused.given}",
            allowed=refused.allowed,
            remedy=REMEDY,
        )
    return able


def _held_out(winners: Sequence[_Winner], wanted: Setting, reported: Sequence[int], entry: str) -> list[_Winner]:
    """Those that saw no seed that is reported. Raises ConfigError where there is none."""
    left = [one for one in winners if not _seen(one, wanted, reported)]
    if not left:
        raise ConfigError(
            f"each stored search for {entry} was on seeds that are reported now",
            given=f"hparams=nearest protocol={HELD_OUT} seeds={list(reported)}",
            allowed="; ".join(f"{one.name}: not seeds {_numbers(one.seeds)}" for one in winners),
            remedy=f"give other seeds=, search with protocol={HELD_OUT}, or give protocol=paper, which says so instead",
        )
    return left


def _seen(winner: _Winner, wanted: Setting, reported: Sequence[int]) -> list[int]:
    """Reported seeds that it was searched on; of another dataset a seed is another split, whatever its number."""
    return sorted(winner.seeds.intersection(reported)) if winner.setting.dataset == wanted.dataset else []


def _warning(winner: _Winner, wanted: Setting, reported: Sequence[int]) -> list[str]:
    seen = _seen(winner, wanted, reported)
    return [f"searched on seeds {_numbers(seen)}, which are reported here"] if seen else []


def _numbers(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _first_round(planner: Planner, cell: int) -> int:
    """The cell whose values those of `cell` are, as with a search of the first round."""
    while (before := planner.before(cell)) is not None:
        cell = before
    return cell


def _winners(results: Path) -> list[_Winner]:
    """All winners of searches that rows of `results` rest on; of rounds after one another the first ones'."""
    if not any(one.is_dir() for one in (Results(results).store, results / records.FOLDER)):
        return []  # other folders may be there all the same, of a plan or a command that was refused
    found = records.gather([results])
    rows, on = current(found.rows), found.trials.groupby(["cell", "result_set", "method"])["seed"]
    seeds = {place: frozenset(map(int, own)) for place, own in on}
    searched = rows[~rows["method"].isin(REFERENCES) & rows["trials"].notna() & (rows["round"].fillna(1) == 1)]
    return [
        _Winner(str(place[-1]), setting_of(own), name_of(own), own, seeds.get(place, frozenset()))
        for place, own in searched.groupby(["cell", "result_set", "method"], sort=True)
    ]


def _is_of(method: MethodConfig, winner: _Winner) -> bool:
    """Whether it is one of this method as it is now, whose values it takes."""
    if (winner.method, int(winner.rows["method_version"].iloc[0])) != (method.name, method.version):
        return False
    try:
        method.complete(winner.params)
    except ConfigError:
        return False
    return True


def setting_of_cell(planner: Planner, cell: int) -> Setting:
    """Of a cell of a sweep, before anything of it is stored."""
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
