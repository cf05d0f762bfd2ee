"""A picture in the cell of a notebook that is drawn anew while the kernel works."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TextIO

from rich.console import Console, RenderableType

DRAW_SECONDS = 0.5  # between two pictures; what takes less is not shown
WIDTH, HEIGHT = 115, 50  # in characters; a cell that is narrower gets a bar to scroll
FRAME = '<pre style="white-space: pre; overflow-x: auto; line-height: normal">{code}</pre>'


def is_cell(stream: TextIO) -> bool:
    """Whether a notebook shows what is written there: its kernel has put streams of its own in the usual ones' place.

    Not so for what a cell runs as another process, and where a cell's output is redirected.
    """
    streams = sys.modules.get("ipykernel.iostream")
    return streams is not None and isinstance(stream, streams.OutStream)


def has_widgets() -> bool:
    """Whether the package is installed without which nothing in a cell can be drawn anew."""
    return find_spec("ipywidgets") is not None


class Picture:
    """What `content` gives, in a widget of its own from `start` to `stop`.

    It is the text of the widget, not output that the widget catches as rich has it: such a widget catches all that is
    written while it is drawn, lines of other threads too, and the next picture would wipe them out.
    """

    def __init__(self, content: Callable[[], RenderableType]) -> None:
        self._content, self._over = content, threading.Event()
        self._drawing = threading.Thread(target=self._draw_until_over, daemon=True)

    def start(self) -> None:
        self._drawing.start()

    def stop(self) -> None:
        """The picture goes."""
        self._over.set()
        self._drawing.join()

    def _draw_until_over(self) -> None:
        if self._over.wait(DRAW_SECONDS):
            return
        with _shown_widget() as widget:
            widget.value = as_html(self._content())
            while not self._over.wait(DRAW_SECONDS):
                widget.value = as_html(self._content())


@contextmanager
def _shown_widget() -> Iterator[Any]:
    """A widget in the cell. Afterwards the cell keeps nothing of it: a notebook that is saved would show an error."""
    from IPython.display import display  # noqa: PLC0415
    from ipywidgets import HTML  # noqa: PLC0415  an extra

    widget = HTML()
    place = display(widget, display_id=True)
    try:
        yield widget
    finally:
        place.update({"text/plain": ""}, raw=True)
        widget.close()


def as_html(content: RenderableType) -> str:
    """What a terminal would show of it."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_jupyter=False, force_terminal=True,
        color_system="truecolor",
    )  # fmt: skip
    console.print(content)
    return console.export_html(inline_styles=True, code_format=FRAME)
