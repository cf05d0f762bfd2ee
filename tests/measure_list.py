"""The catalogue of measures, from their YAML files; `python -m tests.measure_list` writes it into docs/measures.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from deepunlearn.config.measures import known_measures, sets_of
from deepunlearn.core.measure_config import Column, Measure
from deepunlearn.core.words import paragraph
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.registry import Folders

PAGE = Path(__file__).parent.parent / "docs" / "measures.md"
BLOCK = re.compile(r"(<!-- catalogue -->\n).*?(<!-- end -->)", re.DOTALL)
INTRO = "Made of the YAML files in `conf/measure/` and `conf/attack/` by `python -m tests.measure_list`.\n"


def catalogue() -> str:
    """Of each measure its columns, and what else its YAML says."""
    added = known_measures(Folders())
    sets = {name: own for name, own in sets_of(added.values()).items() if name not in ("all", "none")}
    words = [f"`{name}`: {', '.join(sorted(one.name for one in own)) or 'none of ours'}" for name, own in sets.items()]
    told = [INTRO, paragraph(f"Sets, beside `all` and `none`: {'; '.join(words)}.") + "\n", "### In every row\n"]
    told += ["\n".join(_lines(one)) for one in BUILT_IN.measures]
    told += ["### When asked for (`measures=[NAME,...]`)\n"]
    told += ["\n".join(_lines(one)) for _, one in sorted(added.items())]
    return "\n".join(told)


def _lines(measure: Measure) -> Iterator[str]:
    yield f"#### {measure.name}: {measure.title}"
    yield "| column | definition | direction, ideal |\n|---|---|---|"
    references = {name: term.reference for term in measure.glossary for name in term.names}
    yield from (_row(column, references.get(column.name, column.reference)) for column in measure.columns)
    yield ""
    cost = f"{measure.cost or 'part of scoring'}{' (slow)' if measure.slow else ''}"
    yield paragraph(f"- Source: {measure.source}")
    yield paragraph(f"- Looks at: {', '.join(measure.needs)}; cost: {cost}")
    if measure.alone:
        yield "- Needs no retrained model"
    if measure.undefined:
        yield paragraph(f"- Not defined: {measure.undefined}")
    if measure.limits:
        yield paragraph(f"- Does not say: {measure.limits}")
    yield ""


def _row(column: Column, reference: str) -> str:
    hidden = "" if column.shown else " (in rows only)"
    return (
        "| "
        + " | ".join(text.replace("|", "\\|") for text in (f"{column.name}{hidden}", column.meaning, reference))
        + " |"
    )


def page() -> str:
    """docs/measures.md with the catalogue as the files are now."""
    return BLOCK.sub(lambda found: f"{found[1]}{catalogue()}{found[2]}", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
