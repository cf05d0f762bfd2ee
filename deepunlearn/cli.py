"""What the commands share: how they end, and how they list what exists."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable, Sequence

from deepunlearn.core.errors import DeepUnlearnError
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.registry import Folders

OUTPUT = 1  # the descriptor of standard output
INTERRUPTED = 130
UNREAD = 141  # as of a program that a broken pipe has ended


def run_main(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """`main(arguments)`; an error that explains itself is printed without a traceback and gives its exit code.

    So is one of a machine that ran out of something, e.g. of room on its disk, which is no mistake of this program.
    """
    _escape_what_cannot_be_printed()
    try:
        code = main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except DeepUnlearnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; nothing stored is lost. Run the same command to go on.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), OUTPUT)  # else the interpreter fails on its last flush
        return UNREAD
    except Exception as error:
        rule = infrastructure(error)
        if rule is None or not rule.scarce:
            raise
        print(f"error: {type(error).__name__}: {error}\n  remedy:  {rule.remedy}", file=sys.stderr)
        return DeepUnlearnError.exit_code


def _escape_what_cannot_be_printed() -> None:
    """Names of files may be in no encoding; standard error escapes them anyway."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _reader_has_left() -> bool:
    """Whether nobody can read our standard output any more, as after `... | head`."""
    output = select.poll()
    output.register(OUTPUT, 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


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
