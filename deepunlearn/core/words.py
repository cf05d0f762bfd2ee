"""How numbers of things are said."""

from __future__ import annotations


def number_of(count: int, thing: str) -> str:
    """ "1 sample", "2,000 samples": `thing` in the singular, one that only takes an s."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
