"""The report of a deletion as one HTML page: it needs nothing else, loads nothing and runs no script.

It is made of the report alone, whose texts may hold anything: all of them are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jinja2

from deepunlearn.core.paths import PACKAGE
from deepunlearn.core.progress import duration
from deepunlearn.deletion.pictures import picture
from deepunlearn.deletion.report import NOT_SHOWN, Estimate, Figure, Report

FOLDER = Path(__file__).parent
LOOK = PACKAGE / "analysis/page/page.css"  # of the page of results, whose look this one has
DIGITS = 3
NOTHING = "–"
VERIFY_IDS = {  # how the list was written -> what prints its hash in a shell; \r is what Windows adds to lines
    "file": "tail -n +2 ids.csv | tr -d '\\r' | LC_ALL=C sort | sha256sum",
    "id": "tail -n +2 ids.csv | tr -d '\\r' | sort -n | sha256sum",
}
VERIFY_WEIGHTS = """\
import hashlib
from safetensors.numpy import load_file

digest = hashlib.sha256()
for name, value in sorted(load_file("model.safetensors").items()):
    digest.update(f"{name} {value.dtype.name} {list(value.shape)}\\n".encode())
    digest.update(value.tobytes())
print(digest.hexdigest())"""


def render(report: Report) -> str:
    """The page's HTML, in UTF-8."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"said": said, "took": took, "count": count}
    return environment.get_template("page.html.j2").render(
        report=report,
        not_shown=NOT_SHOWN,
        css="\n".join(path.read_text(encoding="utf-8") for path in (LOOK, FOLDER / "page.css")),
        rows={check.name: [_row(report, figure) for figure in check.figures] for check in report.checks},
        hashes=list(_hashes(report)),
        verify_ids=VERIFY_IDS[report.request.listed_by],
        verify_weights=VERIFY_WEIGHTS,
    )


class Row(NamedTuple):
    """A figure in words, and drawn."""

    title: str
    before: str
    after: str
    drop: str
    on: str
    note: str
    drawn: str


def _row(report: Report, figure: Figure) -> Row:
    on = f"{count(figure.samples)}" if figure.samples else NOTHING
    return Row(
        title=figure.title,
        before=shown(figure, figure.before),
        after=shown(figure, figure.after),
        drop=shown(figure, figure.drop),
        on=on if figure.against is None else f"{on} against {count(figure.against)}",
        note=figure.note or "",
        drawn=picture(figure, report.request.limits),
    )


def shown(figure: Figure, estimate: Estimate | None) -> str:
    """A number with its interval: 0.715 [0.694, 0.735]."""
    if estimate is None:
        return NOTHING
    digits = 0 if figure.kind == "steps" else DIGITS
    if estimate.low is None or estimate.high is None:
        return _number(estimate.value, digits)
    return f"{_number(estimate.value, digits)} [{_number(estimate.low, digits)}, {_number(estimate.high, digits)}]"


def _number(value: float, digits: int) -> str:
    """Small values keep two digits that count: how far weights moved is often below 0.001."""
    text = f"{value:.{digits}f}"
    return f"{value:.2g}" if value and float(text) == 0 else text


class Hashed(NamedTuple):
    name: str
    value: str
    of: str


def _hashes(report: Report) -> Iterator[Hashed]:
    """All of them, in the order in which one asks for them."""
    model, request = report.model, report.request
    written = "not written, as a check failed"
    yield Hashed("List of the samples", request.ids_sha256, request.ids_hashed)
    yield Hashed("File of the model as it was given", model.file_before, "sha256 of the file's bytes")
    yield Hashed("Weights of the model as it was given", model.weights_before, model.weights_hashed)
    yield Hashed("File of the unlearned model", model.file_after or written, "sha256 of the file's bytes")
    yield Hashed("Weights of the unlearned model", model.weights_after or written, model.weights_hashed)
    yield Hashed("Data", report.data.digest, "this program's digest of all decoded samples and labels")


def took(seconds: float) -> str:
    """As `duration`, with the tenths of a few seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def count(number: int) -> str:
    return f"{number:,}"


def said(values: Mapping[str, object]) -> str:
    """`epochs=5, lr=0.01`; "none" where there are none."""
    return ", ".join(f"{name}={_plain(value)}" for name, value in values.items()) or "none"


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else NOTHING if value is None else str(value)
