"""What each method does with its default values: the table in docs/methods.md, from the rows of `sweep=defaults`.

    python -m deepunlearn.sweep sweep=defaults dataset.root=datasets/cifar10-images results=results/defaults
    python scripts/defaults.py results/defaults

A method collapses where a model is not usable, or its accuracy on the test samples of classes that it still knows is
below half of the retrained model's; it does nothing where its weights and what it says of the forget set stay.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from deepunlearn.analysis.coverage import failure_notes
from deepunlearn.analysis.rows import REFERENCES, collect, current
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.words import paragraph
from deepunlearn.metrics import LEAST_MOVE

DOCS = Path(__file__).parent.parent / "docs" / "methods.md"
SECTION = re.compile(r"(<!-- defaults -->\n).*?(<!-- end -->)", re.DOTALL)
HEADER = ("method", "seeds", "RA", "FA", "test accuracy", "Disc_AUC", "moved", "seconds", "verdict")


def tables(rows: pd.DataFrame, failures: dict[tuple[str, str], str]) -> str:
    """A table per forget set; failures: (cell, method) -> what stands in place of its row."""
    kept = current(rows)
    sections = [f"**{title}**\n\n{table(group, failures)}" for title, group in kept.groupby("forget_title", sort=False)]
    return "\n\n".join(sections)


def table(rows: pd.DataFrame, failures: dict[tuple[str, str], str]) -> str:
    """One forget set: references, then methods by name."""
    own = rows.assign(known=rows["TA_retained"].fillna(rows["TA"]))
    retrained = own[own["method"] == "retrained"].set_index("seed")
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    lines += [f"| {' | '.join(line)} |" for line in _lines(own, retrained)]
    cell = str(own["cell"].iloc[0])
    lines += [f"| {name} |{' |' * 7} {why} |" for (of, name), why in sorted(failures.items()) if of == cell]
    return "\n".join(lines)


def _lines(rows: pd.DataFrame, retrained: pd.DataFrame) -> Iterator[list[str]]:
    methods = sorted(set(rows["method"]) - set(REFERENCES))
    for method in [*REFERENCES, *methods]:
        models = rows[rows["method"] == method].set_index("seed")
        if len(models):
            means = [f"{models[name].mean():.3f}" for name in ("RA", "FA", "known", "Disc_AUC")]
            told = "" if method in REFERENCES else verdict(models, retrained)
            moved, seconds = models["moved"].mean(), f"{models['seconds'].mean():.1f}"
            yield [method, str(len(models)), *means, "n/a" if pd.isna(moved) else f"{moved:.2g}", seconds, told]


def verdict(models: pd.DataFrame, retrained: pd.DataFrame) -> str:
    """`collapses`, `does nothing` or `works`, of the models of one method by seed, and how many of them."""
    known = models["known"] >= 0.5 * retrained["known"].reindex(models.index)
    collapsed = int((~(models["usable"] & known)).sum())
    still = int((models["moved"] < LEAST_MOVE).sum())
    if collapsed:
        return f"collapses ({collapsed} of {len(models)})"
    return f"does nothing ({still} of {len(models)})" if still else "works"


def failed(results: Path) -> dict[tuple[str, str], str]:
    """(cell, method) -> what stands in place of a row: why a method refuses the forget set, or how it broke down."""
    words = {"not_applicable": "refuses", "failed": "breaks down"}
    return {
        (note.cell, note.method): f"{words[note.kind]}: {note.message.splitlines()[0]}"
        for note in failure_notes(results)
        if note.kind in words and note.stage == "evaluate"
    }


def with_tables(text: str, made: str) -> str:
    return SECTION.sub(lambda found: f"{found.group(1)}{made}\n{found.group(2)}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results/defaults"), help="default: %(default)s")
    results = parser.parse_args().results
    rows = collect(results)
    made_at = ", ".join(sorted(rows["commit"].unique()))
    said = f"Models of commits {made_at}, on {machine()}; table made at commit {commit()}."
    made = f"{paragraph(said)}\n\n{tables(rows, failed(results))}"
    DOCS.write_text(with_tables(DOCS.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
