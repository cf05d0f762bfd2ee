"""Work in a process of its own: what a process has set for itself (memory, threads, a GPU) is not shared with it."""

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
        """What the script's method returns. Raises what it raises, and EOFError where the process has died."""
        self.ask(name, *arguments)
        return self.answer()

    def ask(self, name: str, *arguments: Any) -> None:
        """Let the script's method begin; `answer` waits for its end."""
        self._connection.send((name, arguments))

    def answer(self) -> Any:
        """What the method that was asked last returns; raises as `call`."""
        error, value = self._connection.recv()
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End the process; from now on its time counts as ours."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, script: Script) -> None:
    with suppress(EOFError):  # nobody calls any more
        script.begin()
        while True:
            name, arguments = connection.recv()
            connection.send(_outcome(script, name, arguments))


def _outcome(script: Script, name: str, arguments: tuple[Any, ...]) -> tuple[Exception | None, Any]:
    """The error that a method ends by, or None, and what it returns."""
    try:
        return None, getattr(script, name)(*arguments)
    except Exception as error:  # goes to whoever has asked
        return error, None
