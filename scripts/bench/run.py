"""Measures the goals of speed as ratios (docs/performance.md).

    python scripts/bench/run.py [NAME ...] [--data DIR] [--quick] [--to DIR] [--keep DIR]

`--data` holds CIFAR-10 as image files, `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. Writes NAME.md into `--to`; without
a name all but searches, about 20 minutes on two cores with nothing else on the machine. searches takes 1.5 hours, and
with `--keep` goes on where it was stopped. `--quick` only shows that everything runs, and writes nothing unless told
where.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import tempfile
from pathlib import Path

from common import Options, Others, markdown

SHORT = ("networks", "layers", "steps", "trials", "workers", "startup", "splits")
BENCHMARKS = (*SHORT, "searches")


def main(arguments: list[str]) -> None:
    given = _parser().parse_args(arguments)
    target = given.to or (None if given.quick else Path("results/bench"))
    with tempfile.TemporaryDirectory() as scratch:
        options = Options(given.data, given.quick, given.keep or Path(scratch))
        for name in given.names or SHORT:
            page = _page(name, options, arguments)
            print(page, flush=True)
            if target is not None:
                target.mkdir(parents=True, exist_ok=True)
                (target / f"{name}.md").write_text(page, encoding="utf-8")


def _page(name: str, options: Options, arguments: list[str]) -> str:
    module = importlib.import_module(name)
    text = " ".join(module.__doc__.split("\n\n", 1)[1].split())
    others, rows = Others(), module.rows(options)
    return markdown(name, text, shlex.join(["python", "scripts/bench/run.py", *arguments]), rows, str(others))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BENCHMARKS], help=", ".join(BENCHMARKS))
    parser.add_argument("--data", type=Path, default=Path("datasets/cifar10-images"), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--to", type=Path, help="where the tables go; default: results/bench, with --quick nowhere")
    parser.add_argument("--keep", type=Path, help="where sweeps are stored and gone on with; default: nowhere")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
