"""Figures for a paper and one self-contained page, <results>/index.html, from all stored results."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepunlearn.analysis import figures, inputs, page, tables
from deepunlearn.analysis.figures import kept
from deepunlearn.analysis.figures.style import FORMATS, PAGE, WIDTHS, Picture, Sheet, captions
from deepunlearn.analysis.page import panels
from deepunlearn.analysis.page.methods import About
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import FOLDER
from deepunlearn.cli import run_main, wants_help
from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit
from deepunlearn.core.store import now

CAPTIONS = "captions.md"
CAPTION = re.compile(r"^## (.+)$", re.MULTILINE)  # in there, above a caption: the figure's name
INCHES = tuple(f"{width:g}" for width in WIDTHS)
OPTIONS = {**inputs.OPTIONS, "figures.width": INCHES[0], "format": FORMATS[0], "panels": False}
USAGE = f"""{__doc__}
usage: python -m deepunlearn.report [OPTION=VALUE ...]

{inputs.HELP}
  figures.width=W   inches: {" (one column) or ".join(INCHES)} (two); draw at the width at which it is printed
  format=F          of the figures' files: {", ".join(FORMATS)}; fonts are embedded
  panels=true       show in each method's view where its models look in a few images, of forgotten samples too, and
                    the loss of each sample before and after: the page is then for people who may see these images

The page opens with a summary of each result set: ranks, values with intervals, failures, how far to trust them. Behind
it are all scores, figures, and a view for each method with its hyper-parameters and failures. It needs no network.
Figures go to <results>/figures/ as well, with captions.md; those of an earlier report are replaced."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(USAGE)
        return 0
    options, sheet = read(arguments)
    results = Path(str(options["results"]))
    shown = read_models(options)
    records = inputs.load_records(options)
    ranked = rankings(records.counted.rows, records.counted.cases)
    importances = results / FOLDER / kept.FILE
    pictures = figures.draw(records, ranked, PAGE, importances)
    written = pictures if sheet == PAGE else figures.draw(records, ranked, sheet, importances)
    write_figures([*written, *panels.pictures(records, shown, sheet)], results / "figures")
    made = tables.build(records, ranked, str(options["compare"]))
    about = {
        name: About(method.full_name, f"{method.paper}; reads {', '.join(method.reads)}")
        for name, method in method_configs().items()
    }
    by = f"page made {now()[:10]} by commit {commit()}"
    text = page.build(records, ranked, made, pictures, about=about, made=by, shown=shown)
    write_atomically(results / "index.html", text)
    print(f"{results / 'index.html'}: {len(made)} tables, {len(pictures)} figures (also in {results / 'figures'})")
    return 0


def read(arguments: Sequence[str]) -> tuple[dict[str, str | bool], Sheet]:
    """What a command asks for, and what its figures' files are drawn for. Raises ConfigError; no file is looked at."""
    options = inputs.read_options(arguments, OPTIONS)
    if options["panels"] is True and options["records"]:
        raise ConfigError(
            "panels=true needs models and images, which records do not have",
            given=f"records={options['records']}",
            allowed="the results folder that the sweep wrote into, results=DIR",
            remedy="leave records= or panels=true out",
        )
    return options, _sheet(options)


def read_models(options: Mapping[str, str | bool]) -> list[panels.Model]:
    """What panels=true shows, nothing without it. Raises ConfigError where that cannot be made of these results."""
    if options["panels"] is not True:
        return []
    from deepunlearn.panels import collect  # noqa: PLC0415 - torch

    return collect(Path(str(options["results"])), Progress())


def _sheet(options: Mapping[str, str | bool]) -> Sheet:
    """Raises ConfigError for another width or format than there are."""
    for name, allowed in {"figures.width": INCHES, "format": FORMATS}.items():
        if options[name] not in allowed:
            raise ConfigError(
                f"figures cannot be drawn with {name}={options[name]}",
                given=f"{name}={options[name]}",
                allowed=", ".join(allowed),
                remedy=f"give one of these, e.g. {name}={allowed[0]}",
            )
    return Sheet(float(options["figures.width"]), str(options["format"]))


def write_figures(pictures: Sequence[Picture], folder: Path) -> None:
    """Each figure and their captions, in place of those that an earlier report left; what others put there stays."""
    for path in _earlier(folder):
        path.unlink()
    for picture in pictures:
        picture.write(folder)
    write_atomically(folder / CAPTIONS, captions(pictures))


def _earlier(folder: Path) -> list[Path]:
    """The figures that a report wrote into `folder`, as its captions name them."""
    file = folder / CAPTIONS
    names = CAPTION.findall(file.read_text(encoding="utf-8")) if file.is_file() else []
    paths = [folder / f"{name}.{suffix}" for name in names for suffix in FORMATS]
    return [path for path in paths if path.is_file()]


if __name__ == "__main__":
    sys.exit(run_main(main))
