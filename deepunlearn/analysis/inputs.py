"""What the commands that read results share: their options, and the records that these ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deepunlearn.analysis import external, records
from deepunlearn.analysis.compare import FORGOTTEN
from deepunlearn.analysis.coverage import require_complete
from deepunlearn.analysis.erasure import of_persons
from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.records import Records
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import check_writable

OPTIONS: Mapping[str, str | bool] = {
    "results": "results",
    "records": "",
    "partial": False,
    "compare": "none",
    "extra": "",
    "round": "",
}
HELP = """\
  results=DIR       the results folder, read from and written to (default: results)
  records=DIR,DIR   read the records/ of these folders instead, and join them
  partial=true      go on although expected rows are missing; every table then says which
  compare=paper     put the ranks and RTE of Deep Unlearn's tables 1 and 2 beside ours, and its findings
  compare=erasure   put the scores of ERASURE's table 1 beside ours of persons of CelebA (sweep=erasure)
  extra=FILE.csv    add methods that were run elsewhere, marked as such (columns: docs/extra.md)
  round=R           of requests one after the other rank and sum up round R, in place of the last one"""
COMPARED = ("none", "paper", "erasure")


def read_options(arguments: Sequence[str], defaults: Mapping[str, str | bool] = OPTIONS) -> dict[str, str | bool]:
    """The options on a command line; defaults: `OPTIONS`, and what a command has beside them.

    Raises ConfigError for what is no option, and for values that are wrong whatever the records are.
    """
    options = parse_options(arguments, defaults)
    if options["compare"] not in COMPARED:
        raise unknown("comparison", str(options["compare"]), COMPARED)
    return options


def load_records(options: Mapping[str, str | bool]) -> Records:
    """The records that `options` (as `read_options` returns them) ask for; those of a store are written beside it.

    Raises ConfigError where there are none, where results cannot be written, or where expected rows are missing and
    `partial` is false.
    """
    results = Path(str(options["results"]))
    named = [Path(name) for name in str(options["records"]).split(",") if name]
    check_writable(results, _instead(results, named))
    asked = records.read(named) if named else records.collect(results)
    if asked.cases.empty and asked.attacks.empty:
        raise ConfigError(
            f"there are no results in {', '.join(map(str, named)) or results}",
            given=f"results={results}" if not named else f"records={options['records']}",
            allowed="a folder that a sweep wrote into",
            remedy="run one: python -m deepunlearn.sweep method=ft dataset=digits (or give results=DIR)",
        )
    if not named:
        asked.write(results)
    if options["extra"]:
        rows, cases = external.join(asked.rows, asked.cases, Path(str(options["extra"])))
        asked = replace(asked, rows=rows, cases=cases)
    if options["compare"] == "paper" and not asked.rows.empty and FORGOTTEN not in set(asked.rows["forget_title"]):
        raise ConfigError(
            "compare=paper puts results beside those of the paper, which forgets at random",
            given=f"forget sets: {', '.join(sorted(set(asked.rows['forget_title'])))}",
            allowed=f"results of which some are of {FORGOTTEN}",
            remedy="leave compare= out",
        )
    if options["compare"] == "erasure":
        of_persons(asked.rows)
    if options["partial"] is not True:
        require_complete(asked.cases)
    return replace(asked, round=asked_round(str(options["round"]), asked))


def _instead(results: Path, named: Sequence[Path]) -> str:
    """What to give where nothing can be written to `results`; named: by records=."""
    if named:
        return "a folder of yours"
    if (results / records.FOLDER).is_dir():
        return f"a folder of yours, and records={results} for the records as they were last written there"
    return f"a copy of {results} that is yours"


def asked_round(text: str, asked: Records) -> int | None:
    """The round that `text` asks for, None where it is empty. Raises ConfigError for one that no row has."""
    if not text:
        return None
    known = sorted(asked.rows["round"].dropna().astype(int).unique())
    if text.isdecimal() and int(text) in known:
        return int(text)
    raise ConfigError(
        f"no result is of round {text} of requests one after the other",
        given=f"round={text}",
        allowed=", ".join(map(str, known)) or "results of forget.rounds= or forget.schedule=, and here there are none",
        remedy="give a round that has results, or leave round= out for the last one",
    )
