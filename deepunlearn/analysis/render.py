"""A table as Markdown, CSV and LaTeX, and the files they go into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from deepunlearn.core.paths import write_atomically

FILES = "files.txt"  # in the folder of tables: the names of those that were written there
PREAMBLE = """\\documentclass{article}
\\usepackage[T1]{fontenc}
\\usepackage[PAPER,landscape,margin=12mm]{geometry}
\\usepackage{booktabs,longtable}
\\setlength{\\tabcolsep}{3pt}
\\setlength{\\LTcapwidth}{\\textwidth}
"""
SPAN = ": "  # in column names for a paper, between a header that spans columns and the column's own
INPUT, NOTES = "-input.tex", "-notes.tex"  # ends of files' names: what is for a paper, and what it rests on
MARKED = re.compile(r"(.*?) ([¹²])(.*)", re.DOTALL)
MOST_AT_EASE = 8  # columns; more come closer to each other
PARTIAL = re.compile(r"PARTIAL: .*?\)\.")  # what `provenance.remark_on` says of holes; no caption is without it
EMPHASIS = {"¹": "\\textbf", "²": "\\underline"}
NUMBER = r"|n/a|undefined|[\d.,]+( ± [\d.e-]+)?( \(> [\d.]+\))?( [¹²])?( †)?"
PAPERS = {
    12: ("a4paper", "footnotesize"),
    18: ("a3paper", "scriptsize"),
    99: ("a2paper", "scriptsize"),
}  # up to columns
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
    set's file name where it is about one, else ""; paper: what a paper shows of it (text), to be \\input: ¹ and ² at a
    value's end mark the best and the second, names of columns may have a part before SPAN, a header over several.
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    shown: pd.DataFrame
    widths: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    paper: pd.DataFrame | None = None


def to_markdown(table: Table) -> str:
    body = table.shown.map(lambda text: text.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
    return f"## {table.title}\n\n{body}\n\n{table.caption}\n"


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
    paper, size = next(found for most, found in PAPERS.items() if len(widths) <= most)
    return f"{PREAMBLE.replace('PAPER', paper)}\\begin{{document}}\n\\{size}\n{body}\\end{{document}}\n"


def to_input(table: Table, paper: pd.DataFrame) -> str:
    """A table to \\input, with a short caption, for a document that has \\usepackage{booktabs}; its notes are apart."""
    names = [tuple(map(escape, str(name).rpartition(SPAN)[::2])) for name in paper]
    spans = any(span for span, _ in names)
    escaped = paper.map(_emphasised)
    escaped.columns = pd.MultiIndex.from_tuples(names) if spans else pd.Index([name for _, name in names])
    layout = "".join("r" if shown.str.fullmatch(NUMBER).all() else "l" for _, shown in paper.items())
    caption = " ".join([f"{table.title}.", *PARTIAL.findall(table.caption)])
    body = escaped.style.hide(axis="index").to_latex(
        hrules=True, column_format=layout, multicol_align="c", position_float="centering", caption=escape(caption),
        label=f"tab:{table.name}",
    )  # fmt: skip
    if len(layout) > MOST_AT_EASE:
        body = body.replace("\\centering\n", "\\centering\n\\setlength{\\tabcolsep}{3pt}\n", 1)
    return f"% needs \\usepackage{{booktabs}}; best bold, second best underlined; notes: {table.name}{NOTES}\n{body}"


def to_notes(table: Table) -> str:
    """The facts of a table as a paragraph to \\input below it, or into an appendix."""
    caption = table.caption.replace("¹ best and ² second best", "Bold: best, underlined: second best")
    return f"{{\\footnotesize\\noindent {escape(caption)}\\par}}\n"


def _emphasised(text: str) -> str:
    """`text` for LaTeX, bold where it is marked ¹, underlined where ²; what follows the mark stays."""
    found = MARKED.fullmatch(text)
    if found is None:
        return escape(text)
    value, mark, rest = found.groups()
    return f"{EMPHASIS[mark]}{{{escape(value)}}}{escape(rest)}"


def write(tables: list[Table], folder: Path) -> list[Path]:
    """Write each table as .md, .csv and .tex into `folder`, and remove what earlier calls wrote under other names.

    What a paper shows of one goes into NAME-input.tex and NAME-notes.tex. What others put into the folder stays:
    `FILES` there says what was written, also by a call that was stopped.
    """
    texts: dict[Path, str] = {}
    for table in tables:
        renderings = (".md", to_markdown), (".csv", _to_csv), (".tex", to_latex)
        texts.update({folder / f"{table.name}{suffix}": render(table) for suffix, render in renderings})
        if table.paper is not None:
            texts[folder / f"{table.name}{INPUT}"] = to_input(table, table.paper)
            texts[folder / f"{table.name}{NOTES}"] = to_notes(table)
    names = [path.name for path in texts]
    earlier = _listed(folder)
    _list(folder, [*earlier, *names])
    for path, text in texts.items():
        write_atomically(path, text)
    for name in set(earlier) - set(names):
        (folder / name).unlink(missing_ok=True)
    _list(folder, names)
    return list(texts)


def _listed(folder: Path) -> list[str]:
    """The files that earlier calls wrote into `folder`; versions without a list left nothing to know them by."""
    file = folder / FILES
    return [Path(name).name for name in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _list(folder: Path, names: list[str]) -> None:
    write_atomically(folder / FILES, "".join(f"{name}\n" for name in sorted(set(names))))


def escape(text: str) -> str:
    """`text` for LaTeX; characters that pdflatex has no glyph for become question marks."""
    plain = "".join(SPECIAL.get(character, character) for character in text)
    return plain.encode("latin-1", "replace").decode("latin-1")


def _to_csv(table: Table) -> str:
    return table.data.to_csv(index=False, lineterminator="\n")
