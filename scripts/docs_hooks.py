"""What mkdocs does with a page before it reads it: links to files outside of docs/ become their names.

On a forge such a link opens the file; the site does not have it. Named in mkdocs.yml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+)(?:#[\w-]+)?\)")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The text of a page, with `NAME (`FILE`)` in place of links that leave docs/. Raises PluginError.

    From a notebook, which lies one folder deeper, such a link is one to another page.
    """
    return markdown if "/" in page.file.src_uri else LINK.sub(named, markdown)


def named(link: re.Match[str]) -> str:
    """What stands in place of a link to a file outside of docs/. Raises PluginError where there is none."""
    text, path = link[1], link[2]
    if not (ROOT / path).exists():
        raise PluginError(f"a page links to {path}, which is not there: correct the link")
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"
