"""Measures the goals of speed as ratios (docs/performance.md).

    python scripts/bench/run.py [NAME ...] [--data DIR] [--quick] [--to DIR] [--keep DIR]

`--data` holds CIFAR-10 as image files, `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. Writes NAME.md into `--to`; without
a name all but searches and transfer, about 20 minutes on two cores with nothing else on the machine. These two say at
their start how long they take and have options of their own; with `--keep` they go on where they were stopped, and
share what is stored. searches draws searches.svg beside its table. `--quick` only shows that everything runs, and
writes nothing unless told where.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import tempfile
from pathlib import Path

from common import Options, Others, Searching, markdown

SHORT = ("networks", "layers", "steps", "importance", "trials", "workers", "startup", "splits")
BENCHMARKS = (*SHORT, "searches", "transfer")
SEARCHES = ("paper", "fast")
CELLS = ("arch=resnet18", "arch=resnet18+forget=classes", "arch=resnet18+dataset.limit=1000", "arch=smallnet")
METHODS = ("ft", "ct", "msg", "ngplus", "scrub", "salun")  # tuned, layers, some weights made new, gradient ascent, ...
LEAST_REPEATS = 4  # Student's t of fewer says nothing


def main(arguments: list[str]) -> None:
    given = read(arguments)
    target = given.to or (None if given.quick else Path("results/bench"))
    with tempfile.TemporaryDirectory() as scratch:
        options = Options(given.data, given.quick, given.keep or Path(scratch), target, _searching(given))
        for name in given.names or SHORT:
            page = _page(name, options, arguments)
            print(page, flush=True)
            if target is not None:
                target.mkdir(parents=True, exist_ok=True)
                (target / f"{name}.md").write_text(page, encoding="utf-8")


def _searching(given: argparse.Namespace) -> Searching:
    return Searching(
        searches=given.searches,
        methods=given.methods,
        archs=given.archs,
        cells=given.cells,
        dataset=given.dataset,
        limit=given.limit,
        epochs=given.epochs,
        repeats=given.repeats,
        seeds=given.seeds,
        more=given.option,
        curves=given.curves,
    )


def _page(name: str, options: Options, arguments: list[str]) -> str:
    module = importlib.import_module(name)
    text = " ".join(module.__doc__.split("\n\n", 1)[1].split())
    others, rows = Others(), module.rows(options)
    if name == "searches":
        text += module.made(options)
    return markdown(name, text, shlex.join(["python", "scripts/bench/run.py", *arguments]), rows, str(others))


def read(arguments: list[str]) -> argparse.Namespace:
    """What a command asks for. Ends this program where the benchmarks have no such name or option."""
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BENCHMARKS], help=", ".join(BENCHMARKS))
    parser.add_argument("--data", type=Path, default=Path("datasets/cifar10-images"), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--to", type=Path, help="where the tables go; default: results/bench, with --quick nowhere")
    parser.add_argument("--keep", type=Path, help="where sweeps are stored and gone on with; default: nowhere")
    _add_searching(parser.add_argument_group("of searches and transfer"))
    return parser


def _add_searching(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--searches",
        nargs="+",
        type=_search,
        default=SEARCHES,
        help="the first is the baseline, and that of transfer; thrifty+pruner=median is one with an option changed; "
        "default: paper fast",
    )
    group.add_argument("--methods", nargs="+", default=METHODS, help=f"default: {' '.join(METHODS)}")
    group.add_argument("--archs", nargs="+", default=("resnet18",), help="of searches; default: resnet18")
    group.add_argument("--cells", nargs="+", default=CELLS, help=f"of transfer; default: {' '.join(CELLS)}")
    group.add_argument("--dataset", default="cifar10", help="default: cifar10, the images of --data")
    group.add_argument("--limit", type=int, default=2500, help="training images; default: %(default)s")
    group.add_argument("--epochs", type=int, default=20, help="of originals; default: %(default)s")
    group.add_argument("--repeats", type=_repeats, default=LEAST_REPEATS, help="of each search; default: %(default)s")
    group.add_argument("--seeds", type=int, default=3, help="that winners are reported on; default: %(default)s")
    group.add_argument(
        "--curves",
        type=Path,
        metavar="FILE",
        help="of searches: JSON with what was measured, for several sittings; what it has is not measured again",
    )
    group.add_argument("--option", action="append", default=[], help="of all sweeps, e.g. runtime.device=cuda")


def _search(text: str) -> str:
    if "+together=" in text:
        raise argparse.ArgumentTypeError(
            f"{text} has the trials of the search without it, and none would be made twice: give "
            "--option search.together=N of all searches, with a folder --keep of its own"
        )
    return text


def _repeats(text: str) -> int:
    if int(text) < LEAST_REPEATS:
        raise argparse.ArgumentTypeError(f"{text} are too few for intervals: give {LEAST_REPEATS} or more")
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1:])
