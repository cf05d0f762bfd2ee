"""Errors that teach: what was given, what is allowed, what to do next.

Every error that a user can cause is a `DeepUnlearnError`; the commands print it without a traceback and exit
with `exit_code`. Anything else that escapes is our own mistake and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class DeepUnlearnError(Exception):
    """Base of all errors with a remedy.

    problem: one sentence that names the thing that is wrong; given: the offending value;
    allowed: what would be accepted; remedy: what to type or do next.
    """

    exit_code = 2

    def __init__(
        self, problem: str, *, given: Any = None, allowed: str | None = None, remedy: str | None = None
    ) -> None:
        self.problem, self.given, self.allowed, self.remedy = problem, given, allowed, remedy
        lines = [problem]
        if given is not None:
            lines.append(f"  given:   {given}")
        if allowed is not None:
            lines.append(f"  allowed: {allowed}")
        if remedy is not None:
            lines.append(f"  remedy:  {remedy}")
        super().__init__("\n".join(lines))


class ConfigError(DeepUnlearnError):
    """A configuration value, name or combination that cannot be run."""


class DataError(DeepUnlearnError):
    """A dataset that is missing, damaged or unfit (one class, empty folders, unreadable images)."""


class MissingData(DataError):
    """A dataset none of whose files are where they are looked for."""


class DataWarning(UserWarning):
    """Data that can be used and are probably not what was meant. For `warnings.filterwarnings` to choose by."""


class StoreError(DeepUnlearnError):
    """A stored result that is damaged or does not match its key."""


NO_MPS = (
    "deepunlearn does not compute on MPS: it has no 64-bit floats, which distances, norms and records of training are "
    "computed in, and no method was ever compared with the CPU on it"
)
SMALLER_RATE = (
    "lower the learning rate or the epochs: train.lr= of originals and retrained models, method.params.lr= of a method"
)


class Diverged(DeepUnlearnError):
    """Non-finite loss, weights or logits. A result of the run, not a defect of the program."""

    exit_code = 1


@contextmanager
def advising(remedy: str) -> Iterator[None]:
    """A run within that diverges is told with `remedy`: what can be changed by who asked for it."""
    try:
        yield
    except Diverged as error:
        raise type(error)(error.problem, given=error.given, allowed=error.allowed, remedy=remedy) from error


class NotApplicable(DeepUnlearnError):
    """A method that cannot run on this model or data, and why."""

    exit_code = 1


class MeasureFailed(Exception):
    """Measures of a model that could not be computed; its row and its other measures are stored."""


def unknown(kind: str, given: str, known: Iterable[str], *, remedy: str | None = None) -> ConfigError:
    """A `ConfigError` for a name that does not exist, listing those that do and the nearest one."""
    names = sorted(known)
    near = get_close_matches(given, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give one of the names that are allowed"
    return ConfigError(
        f"unknown {kind} {given!r}", given=given, allowed=", ".join(names) or "(none)", remedy=remedy or hint
    )
