"""How things are said: numbers of them, and paragraphs of pages."""

from __future__ import annotations

import re
import textwrap

COLUMNS = 100  # of prose in pages
MARKER = re.compile(r" (?=(?:[-+*>#=]+|\d+[.)])(?: |$))")  # before what would begin a list, a quotation or a heading


def number_of(count: int, thing: str) -> str:
    """ "1 sample", "2,000 samples": `thing` in the singular, one that only takes an s."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def paragraph(text: str) -> str:
    """A paragraph or an item of a list, "- ...", of Markdown in lines of at most `COLUMNS`, if it has spaces there."""
    is_item = text.startswith("- ")
    bound = MARKER.sub("\0", text)  # no line may begin with a marker
    bound, indent = (f"-\0{bound[2:]}", "  ") if is_item else (bound, "")
    lines = textwrap.wrap(bound, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")
