"""What the commands share: how they end, and how they list what exists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from deepunlearn.core.errors import DeepUnlearnError
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.registry import Folders

INTERRUPTED = 130


def run_main(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """`main(arguments)`; an error that explains itself is printed without a traceback and gives its exit code.

    So is one of a machine that ran out of something, e.g. of room on its disk, which is no mistake of this program.
    """
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except DeepUnlearnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; nothing stored is lost. Run the same command to go on.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        rule = infrastructure(error)
        if rule is None or not rule.scarce:
            raise
        print(f"error: {type(error).__name__}: {error}\n  remedy:  {rule.remedy}", file=sys.stderr)
        return DeepUnlearnError.exit_code


def folders_of(arguments: Sequence[str]) -> tuple[list[str], Folders]:
    """The arguments that are not `plugins=DIR` or `extra_methods=DIR`, and these; the last of a name counts."""
    given = {name: value for name, _, value in (one.partition("=") for one in arguments) if name in Folders._fields}
    return [one for one in arguments if one.partition("=")[0] not in Folders._fields], Folders(**given)


def table(title: str, rows: dict[str, str]) -> str:
    """`title` and two aligned columns."""
    width = max((len(name) for name in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


def wants_help(arguments: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help", "help") for argument in arguments)
