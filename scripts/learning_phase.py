"""Whether partial amnesiac unlearning keeps what amnesiac unlearning destroys: the lecture's claim, on real images.

    OMP_NUM_THREADS=1 python scripts/learning_phase.py results=DIR [setting="NAME=VALUE ..."] [networks=resnet18,vit]
                                                       [forgotten=0] [seeds=2] [page=FILE]

Both methods forget a class, or a share of it, without any repair. Three tables for each network: accuracy on D_R, on
D_F and on each class of the test set; over the share of batches that hold forget samples, by forgetting a smaller share
of the class; over the amount of pruning, from nothing kept (the original) to everything (amnesiac unlearning). What is
stored in DIR is not computed again: originals and their records serve all tables, and a script that was stopped goes on
where it was. setting= are further options of the sweep: dataset, its size, the recipe. page= is a file for the tables.

The claim (Gogineni and Nadimi 2025; its figures: ResNet50 18.0 -> 89.9 % on D_R): at a share of affected batches
between 1 and 50 %, partial unlearning is more accurate on D_R than conventional, and forgets as much. "as much": its
accuracy on D_F is higher by no more than 0.05. Where a class is a tenth of the data nearly every batch holds some of
it, so that such a share is one of a few samples.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn import sweep
from deepunlearn.analysis.options import parse_options
from deepunlearn.cli import run_main, wants_help
from deepunlearn.config import read_command
from deepunlearn.core.errors import unknown
from deepunlearn.core.keys import ReferenceKey, UnlearnedKey
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit, machine
from deepunlearn.data.splits import Split
from deepunlearn.launch.plan import Planner

NETWORKS = {
    "resnet18": ("arch=resnet18",),
    "vit": ("arch=timm", "arch.model=vit_tiny_patch16_224", "arch.args.patch_size=8", "arch.args.depth=4"),
}
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the class that is forgotten
KEPT = ((0.0, 0.0), (0.1, 0.1), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (0.0, 1.0), (0.1, 1.0), (0.5, 1.0), (1.0, 1.0))
DEFAULT = (0.1, 1.0)  # of these: the shares kept in the first and in the last layer
ENOUGH = 0.05  # difference of accuracies on D_F that counts as none
AFFECTED = (0.01, 0.5)  # shares of batches that the claim is about
SETTING = "dataset=cifar10 dataset.source=folder dataset.limit=4000 train.epochs=12 runtime.threads=1"
OPTIONS: Mapping[str, str | bool] = {
    "results": "results/learning-phase", "setting": SETTING, "networks": ",".join(NETWORKS), "forgotten": "0",
    "seeds": "2", "page": "",
}  # fmt: skip


class Scores(NamedTuple):
    """Means over seeds: accuracy on D_R, on D_F, by class of the test set; share of batches, None of references."""

    retain: float
    forget: float
    classes: npt.NDArray[np.float64]
    affected: float | None


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(__doc__)
        return 0
    given = parse_options(arguments, OPTIONS)
    names = str(given["networks"]).split(",")
    for name in names:
        if name not in NETWORKS:
            raise unknown("network", name, NETWORKS)
    text = "\n".join(line for name in names for line in tables(name, given))
    print(text)
    if given["page"]:
        write_atomically(Path(str(given["page"])), text + "\n")
    return 0


def tables(network: str, given: Mapping[str, Any]) -> Iterator[str]:
    """The three tables of a network, in Markdown, each with what the claim comes to."""
    yield f"## {network}: class {given['forgotten']} forgotten, {given['seeds']} seeds"
    yield f"\n{given['setting']}; {machine()}, commit {commit()}\n"
    found = cache(partial(scores, network, given))
    yield from _by_class(found(1.0, DEFAULT))
    yield from _over_batches({share: found(share, DEFAULT) for share in SHARES})
    yield from _over_pruning({kept: found(1.0, kept)["pamnesiac"] for kept in KEPT})


def _by_class(found: Mapping[str, Scores]) -> Iterator[str]:
    classes = len(found["original"].classes)
    yield from _table(("method", "D_R", "D_F", *map(str, range(classes))),
                      ((name, one.retain, one.forget, *one.classes) for name, one in found.items()))  # fmt: skip


def _over_batches(found: Mapping[float, Mapping[str, Scores]]) -> Iterator[str]:
    names = ("amnesiac", "pamnesiac")
    header = (
        "share of the class",
        "affected batches",
        *(f"{part} {name}" for part in ("D_R", "D_F") for name in names),
    )
    yield from _table((*header, "claim"), (
        (share, one["amnesiac"].affected, *(one[name].retain for name in names), *(one[name].forget for name in names),
         verdict(one["amnesiac"], one["pamnesiac"])) for share, one in found.items()))  # fmt: skip


def _over_pruning(found: Mapping[tuple[float, float], Scores]) -> Iterator[str]:
    rows = ((f"{first:g} to {last:g}", one.retain, one.forget) for (first, last), one in found.items())
    yield from _table(("kept, first to last layer", "D_R", "D_F"), rows)


def verdict(conventional: Scores, partial: Scores) -> str:
    """What the claim comes to for two models of one forget set."""
    affected = conventional.affected
    assert affected is not None
    if not AFFECTED[0] <= affected <= AFFECTED[1]:
        return "not about this share"
    if partial.forget > conventional.forget + ENOUGH:
        return "fails: forgets less"
    return "holds" if partial.retain > conventional.retain else "fails: no more accurate on D_R"


def scores(network: str, given: Mapping[str, Any], share: float, kept: tuple[float, float]) -> dict[str, Scores]:
    """Of original, retrained and both unlearned models; the sweep that makes them runs where it has not."""
    command = [*NETWORKS[network], *shlex.split(str(given["setting"])), "method=amnesiac,pamnesiac", "search=none",
               f"results={given['results']}", f"seeds={given['seeds']}", "forget=classes",
               f"forget.classes=[{given['forgotten']}]", f"forget.share={share}",
               "method.amnesiac.params.epochs=0", "method.pamnesiac.params.epochs=0",
               f"method.pamnesiac.params.first={kept[0]}", f"method.pamnesiac.params.last={kept[1]}",
               "measures=[]", "confirm=true"]  # fmt: skip
    run_main(sweep.main, command)
    planner = Planner(read_command(command).sweep, Progress(quiet=True))
    return {name: _scores(planner, name) for name in ("original", "retrained", *planner.methods)}


def _scores(planner: Planner, name: str) -> Scores:
    seeds = planner.sweep.report_seeds(planner.sweep.cells[0])
    each = [_of_seed(planner, name, seed) for seed in seeds]
    affected = None if name not in planner.methods else float(np.mean([_affected(planner, name, one) for one in seeds]))
    retain, forget = (float(np.mean([one[part] for one in each])) for part in (0, 1))
    return Scores(retain, forget, np.mean([one[2] for one in each], axis=0), affected)


def _of_seed(planner: Planner, name: str, seed: int) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Accuracies of one stored model."""
    keys, data = planner.keys[0], planner.data(0)
    split = planner.splits(0).of(seed)
    key: ReferenceKey | UnlearnedKey
    if name in planner.methods:
        method = planner.methods[name]
        key = keys.unlearned(method, keys.given(planner.sweep, method), seed)
    else:
        key = keys.reference("original" if name == "original" else "retrained", seed)
    entry = planner.store.find(key, keys.place(name, seed))
    if entry is None:
        raise SystemExit(f"{name} of seed {seed} is not there: see why with python -m deepunlearn.status")
    logits = entry.arrays("logits.npz")
    if isinstance(key, ReferenceKey) and key.split != keys.split and name == "original":
        logits |= _recut(logits, keys.make_shared(data), split)
    right = {part: logits[part].argmax(1) == data.train_labels[getattr(split, part)] for part in ("retain", "forget")}
    test = data.test_labels[split.test]
    hits = logits["test"].argmax(1) == test
    classes = np.array([hits[test == one].mean() for one in range(len(data.class_names))])
    return float(right["retain"].mean()), float(right["forget"].mean()), classes


def _recut(logits: Mapping[str, Any], by: Split, wanted: Split) -> dict[str, Any]:
    """An original's logits on the parts of another forget set than the one it is stored by."""
    from deepunlearn.stages.references import recut  # noqa: PLC0415  it needs torch

    return recut(dict(logits), by, wanted)


def _affected(planner: Planner, name: str, seed: int) -> float:
    keys, method = planner.keys[0], planner.methods[name]
    key = keys.record(method, keys.given(planner.sweep, method), seed)
    entry = planner.store.find(key, keys.place(key.needs, seed))
    assert entry is not None
    return float(entry.meta["affected"] / entry.meta["batches"])


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield f"| {' | '.join(f'{value:.3f}' if isinstance(value, float) else str(value) for value in row)} |"
    yield ""


if __name__ == "__main__":
    sys.exit(run_main(main))
