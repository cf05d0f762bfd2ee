"""`deepunlearn check-gpu`: does this device compute what the CPU does, and how fast is it?"""

from __future__ import annotations

import json
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from deepunlearn.check_gpu.page import page
from deepunlearn.check_gpu.part import Kept, Outcome, Part
from deepunlearn.cli import run_main, wants_help
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.validation import refuse_repeats

OPTIONS = ("device", "out")
MINUTES = 8.0
LEFT = 3  # exit code: parts are left, the same command goes on
USAGE = f"""usage: deepunlearn check-gpu [--minutes N] [device=auto|cuda|cpu] [out=DIR] [PART ...]

Checks whether a device computes what the CPU does, and measures how fast it is, on images made here and on the digits
of scikit-learn: nothing is downloaded. Each part that is done is kept in DIR/parts; the same command goes on where it
was stopped.
  --minutes N  begins no part that would end later than this ({MINUTES:g} by default)
  device=      auto: the GPU, or the CPU where there is none (a check of this program alone)
  out=         where parts, check-gpu.md and check-gpu.json go (check-gpu by default)
  PART         only these: a name as in the table, or a pattern such as 'agreement/resnet18/*' or 'steps/*'
Exit code: 0 all is well, 1 a check failed or could not be run, 2 wrong options, {LEFT} parts are left: run it again."""


class Asked(NamedTuple):
    minutes: float
    device: str
    out: Path
    patterns: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    if wants_help(arguments):
        print(USAGE)
        return 0
    asked = read(arguments)
    from deepunlearn.check_gpu import plan  # noqa: PLC0415  it imports torch, which help need not wait for

    where = plan.Where.named(asked.device)
    parts = chosen(plan.listed(where, asked.out.absolute()), asked.patterns)
    kept = Kept(asked.out, where.facts())
    outcomes = {part.name: kept.get(part) for part in parts}
    run(parts, outcomes, kept, monotonic() + 60 * asked.minutes, where.works)
    write(asked.out, parts, outcomes, kept.made, shlex.join(["deepunlearn", "check-gpu", *arguments]))
    return code(outcomes)


def read(arguments: Sequence[str]) -> Asked:
    """Raises ConfigError for unknown options and what is no number of minutes."""
    refuse_repeats(arguments)
    given, patterns, minutes = {"device": "auto", "out": "check-gpu"}, [], str(MINUTES)
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--minutes":
            minutes = value if equals else next(words, "")
        elif word.startswith("-") or (equals and name not in OPTIONS):
            raise unknown("option", name, ["--minutes", *(f"{one}=" for one in OPTIONS)])
        elif equals:
            given[name] = value
        else:
            patterns.append(word)
    return Asked(_minutes(minutes), given["device"], Path(given["out"]), tuple(patterns))


def _minutes(text: str) -> float:
    try:
        if 0 < float(text) < float("inf"):
            return float(text)
    except ValueError:
        pass
    raise ConfigError(
        "--minutes is not a number of minutes", given=text or "nothing", allowed="a number above 0",
        remedy=f"give --minutes {MINUTES:g}",
    )  # fmt: skip


def chosen(parts: Sequence[Part], patterns: Sequence[str]) -> list[Part]:
    """Those that any pattern is of, or all. Raises ConfigError for a pattern that is of none."""
    for pattern in patterns:
        if not any(fnmatch(part.name, pattern) for part in parts):
            groups = dict.fromkeys(part.group for part in parts)
            raise unknown("part", pattern, [f"{group}/*" for group in groups], remedy="leave PART out to see all names")
    return [part for part in parts if not patterns or any(fnmatch(part.name, pattern) for pattern in patterns)]


def run(
    parts: Sequence[Part],
    outcomes: dict[str, Outcome | None],
    kept: Kept,
    end: float,
    works: Callable[[], bool] = lambda: True,
) -> None:
    """Do what has no outcome yet, into `outcomes`, and keep it, until `end`.

    A part that would end later, as one of its group has shown, is left; shorter ones that come after it are done. One
    part is always done, so that each call gets on. works(): whether the device still answers; after some errors of
    CUDA a process cannot use it again, and the rest is left for the next call.
    """
    longest: dict[str, float] = {}  # seconds of a part, by group
    for part in parts:
        late = bool(longest) and monotonic() + longest.get(part.group, 0.0) > end
        if outcomes[part.name] is not None or late:
            continue
        outcome = outcomes[part.name] = attempt(part)
        longest[part.group] = max(longest.get(part.group, 0.0), outcome.seconds)
        kept.put(part, outcome)
        print(f"{part.name}: {outcome.state}{f' ({outcome.said})' if outcome.said else ''}", flush=True)
        if not works():
            print("the device does not answer any more: the rest is left for the next call", flush=True)
            return


def attempt(part: Part) -> Outcome:
    """How a part ends: an error is a failed check, but for one of the machine, after which it is tried again."""
    if part.lacks:
        return Outcome("not on this device", part.lacks)
    began = monotonic()
    try:
        outcome = part.run()
    except Exception as error:  # an outcome like any other; its traceback is kept
        rule = infrastructure(error)
        told = f"{type(error).__name__}: {error}" + (f"; {rule.remedy}" if rule and rule.remedy else "")
        broken = "CUDA error" in str(error) and "out of memory" not in str(error)  # what is to be found out here
        lost = rule is not None and not broken
        outcome = Outcome("not run" if lost else "failed", told)
        print("".join(traceback.format_exception(error)), file=sys.stderr)
    return replace(outcome, seconds=round(monotonic() - began, 2))


def write(
    folder: Path, parts: Sequence[Part], outcomes: Mapping[str, Outcome | None], made: Mapping[str, Any], command: str
) -> None:
    """The page, printed too, and beside it the same for programs."""
    text = page(parts, outcomes, made, command)
    write_atomically(folder / "check-gpu.md", text)
    told = {part.name: None if (one := outcomes[part.name]) is None else asdict(one) for part in parts}
    write_atomically(folder / "check-gpu.json", json.dumps({"made": made, "parts": told}, indent=1) + "\n")
    print(f"\n{text}")
    left = [part.name for part in parts if outcomes[part.name] is None]
    if left:
        print(f"{len(left)} parts are left, the next one is {left[0]}; run the same command again")
    print(f"written: {folder / 'check-gpu.md'}, {folder / 'check-gpu.json'}")


def code(outcomes: Mapping[str, Outcome | None]) -> int:
    """The exit code."""
    if None in outcomes.values():
        return LEFT
    return int(any(outcome is not None and outcome.state in ("failed", "not run") for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(run_main(main))
