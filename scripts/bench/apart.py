"""A plain script in a process of its own, since what ours sets for its process (memory) is not what a plain one has."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol


class Script(Protocol):
    """Can be pickled; its other methods are what is asked for."""

    def begin(self) -> None:
        """Get ready, in the other process."""


class Apart:
    """`script` in another process, which waits until something is asked of it."""

    def __init__(self, script: Script) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, script), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, name: str, *arguments: Any) -> Any:
        """What the script's method returns."""
        self._connection.send((name, arguments))
        return self._connection.recv()

    def close(self) -> None:
        """End the process; from now on its time counts as ours."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, script: Script) -> None:
    script.begin()
    with suppress(EOFError):  # nobody calls any more
        while True:
            name, arguments = connection.recv()
            connection.send(getattr(script, name)(*arguments))
