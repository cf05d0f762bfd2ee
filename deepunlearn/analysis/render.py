"""A table as Markdown, CSV and a LaTeX document, and the files they go into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from deepunlearn.core.paths import write_atomically

OVER_CELLS = re.compile(
    "(ranking|groups|differences|neighbours|choices|rte|reliability|distances|paper|findings)(-|$)"
)  # tables that may have fallen away
PREAMBLE = """\\documentclass{article}
\\usepackage[T1]{fontenc}
\\usepackage[PAPER,landscape,margin=12mm]{geometry}
\\usepackage{booktabs,longtable}
\\setlength{\\tabcolsep}{3pt}
\\setlength{\\LTcapwidth}{\\textwidth}
"""
SPAN = ": "  # in a fragment's column names, between a header that spans columns and the column's own
MOST_ON_A4 = 12  # columns; more go on A3
SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
    "↓": "$\\downarrow$",
    "↑": "$\\uparrow$",
    "±": "$\\pm$",
    "†": "$\\dagger$",
    "‡": "$\\ddagger$",
}


@dataclass(frozen=True)
class Table:
    """A table to render: `data` goes into the CSV as it is, `shown` (text only) is what people read.

    name: file name without suffix; widths: centimetres of the columns of `shown` that wrap in LaTeX; group: the result
    set's file name where it is about one, else ""; fragment: its LaTeX is a tabular to \\input into a paper, without
    caption, with headers that span columns where names of `shown` have a part before SPAN.
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    shown: pd.DataFrame
    widths: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    fragment: bool = False


def to_markdown(table: Table) -> str:
    body = table.shown.map(lambda text: text.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"


def to_latex(table: Table) -> str:
    """A document that compiles on its own; the table breaks over pages."""
    widths = [f"p{{{table.widths[name]}cm}}" if name in table.widths else "l" for name in map(str, table.shown)]
    escaped = table.shown.map(escape).rename(columns=escape)
    body = escaped.style.hide(axis="index").to_latex(
        environment="longtable",
        hrules=True,
        column_format="".join(widths),
        caption=escape(f"{table.title}. {table.caption}"),
    )
    paper, size = ("a4paper", "footnotesize") if len(widths) <= MOST_ON_A4 else ("a3paper", "scriptsize")
    return f"{PREAMBLE.replace('PAPER', paper)}\\begin{{document}}\n\\{size}\n{body}\\end{{document}}\n"


def to_fragment(table: Table) -> str:
    """A tabular between booktabs' rules, for a document that has \\usepackage{booktabs}."""
    escaped = table.shown.map(escape)
    names = [tuple(map(escape, str(name).rpartition(SPAN)[::2])) for name in table.shown]
    spans = any(span for span, _ in names)
    escaped.columns = pd.MultiIndex.from_tuples(names) if spans else pd.Index([name for _, name in names])
    numbers = [bool(shown.str.fullmatch(r"[\d.]*|n/a").all()) for _, shown in table.shown.items()]
    layout = "".join("r" if number else "l" for number in numbers)
    body = escaped.style.hide(axis="index").to_latex(hrules=True, column_format=layout, multicol_align="c")
    return f"% {escape(table.title)}: \\usepackage{{booktabs}}\n{body}"


def write(tables: list[Table], folder: Path) -> list[Path]:
    """Write each table as .md, .csv and .tex into `folder`, and remove what earlier calls wrote under other names."""
    texts: dict[Path, str] = {}
    for table in tables:
        latex = to_fragment if table.fragment else to_latex
        renderings = (".md", to_markdown), (".csv", _to_csv), (".tex", latex)
        texts.update({folder / f"{table.name}{suffix}": render(table) for suffix, render in renderings})
    for path, text in texts.items():
        write_atomically(path, text)
    for path in _stale(folder, texts):
        path.unlink()
    return list(texts)


def escape(text: str) -> str:
    """`text` for LaTeX; characters that pdflatex has no glyph for become question marks."""
    plain = "".join(SPECIAL.get(character, character) for character in text)
    return plain.encode("latin-1", "replace").decode("latin-1")


def _to_csv(table: Table) -> str:
    return table.data.to_csv(index=False, lineterminator="\n")


def _stale(folder: Path, written: Mapping[Path, str]) -> list[Path]:
    """Tables of an earlier call, over cells or of the same dataset and arch, whose name this call did not use."""
    stems = {re.sub("-[0-9a-f]{8}$", "", path.stem) for path in written}
    return [
        path
        for path in folder.iterdir()
        if path not in written
        and path.suffix in (".md", ".csv", ".tex")
        and (OVER_CELLS.match(path.stem) or re.sub("-[0-9a-f]{8}$", "", path.stem) in stems)
    ]
