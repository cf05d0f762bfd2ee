"""What the command-line doors share: how they end, and how they list what exists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from deepunlearn.core.errors import DeepUnlearnError

INTERRUPTED = 130


def run_door(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """`main(arguments)`; an error that explains itself is printed without a traceback and gives its exit code."""
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except DeepUnlearnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; nothing stored is lost. Run the same command to go on.", file=sys.stderr)
        return INTERRUPTED


def table(title: str, rows: dict[str, str]) -> str:
    """`title` and two aligned columns."""
    width = max((len(name) for name in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


def wants_help(arguments: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help", "help") for argument in arguments)
