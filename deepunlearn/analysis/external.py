"""Results made elsewhere: read from a CSV and joined to ours as further methods of a result set.

`COLUMNS` is the one definition of the file. Accuracies are taken from it as they are; every score is computed from them
by `deepunlearn.metrics`, as ours are. Titles of joined methods end in `MARK`; `remark` is what captions say about it.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from deepunlearn.analysis.coverage import GROUP
from deepunlearn.analysis.rows import KIND, MODEL, REFERENCES
from deepunlearn.core.errors import ConfigError
from deepunlearn.metrics import row
from deepunlearn.metrics.efficiency import rte
from deepunlearn.metrics.gaps import PARTS, gap, tug_of_war
from deepunlearn.metrics.mia import discernibility, indiscernibility
from deepunlearn.metrics.retention import ret_dev, retention, undefined

MARK = "‡"  # after the title of a method that was run elsewhere
WITHOUT_CLASSES = (
    "RetDev undefined: a class was forgotten whole, and the file has no test accuracy on the others, which TR, gap and "
    "ToW take"
)
ELSEWHERE = "elsewhere"  # machine, device and torch of such rows


class Column(NamedTuple):
    """A column of the file. dtype: one of `KINDS`; a required one has a value on every line (but see `SCORES`)."""

    name: str
    required: bool
    dtype: str
    meaning: str


class Kind(NamedTuple):
    """accepts: the type (pydantic) that the text of a cell is read as; allowed: the same in words."""

    accepts: Any
    allowed: str


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


KINDS = {
    "name": Kind(Annotated[str, StringConstraints(pattern="^[a-z0-9_-]+$")], "lower-case letters, digits, - and _"),
    "text": Kind(Annotated[str, AfterValidator(_on_one_line)], "text"),
    "whole": Kind(row.Count, "a whole number, 0 or more"),
    "share": Kind(row.Share, "a number from 0 to 1"),
    "time": Kind(Annotated[float, Field(gt=0, allow_inf_nan=False)], "a number above 0"),
    "truth": Kind(bool, "true or false"),
    "json": Kind(row.Json, 'a JSON object, e.g. {"lr": 0.01}'),
}
COLUMNS = (
    Column("method", True, "name", "id of the method, none of ours: lower-case letters, digits, - and _"),
    Column("dataset", True, "text", "dataset of a result set of ours, by its name, e.g. cifar10"),
    Column("arch", True, "text", "architecture of that result set, e.g. resnet18"),
    Column("seed", True, "whole", "a seed of that result set"),
    Column("RA", True, "share", "accuracy of the unlearned model on the retain set, 0 to 1"),
    Column("FA", True, "share", "the same on the forget set"),
    Column("TA", True, "share", "the same on the test set"),
    Column("retrained_RA", True, "share", "accuracy of the retrained model of their own on the retain set, 0 to 1"),
    Column("retrained_FA", True, "share", "the same on the forget set"),
    Column("retrained_TA", True, "share", "the same on the test set"),
    Column("MIA", True, "share", "accuracy of the loss attack, forget against test set, 0 to 1, chance 0.5"),
    Column("title", False, "text", "the method as people write it; default: the id in capitals"),
    Column("seconds", False, "time", "wall time of the unlearning; only for RTE"),
    Column("retrain_seconds", False, "time", "wall time of retraining on the same machine; only for RTE"),
    Column("usable", False, "truth", "true or false: whether the model works at all; default: true"),
    Column(
        "result_set", False, "text", "id of the result set or its first digits, where dataset and arch have several"
    ),
    Column("source", False, "text", "where the numbers come from, e.g. a citation"),
    Column("params", False, "json", "hyper-parameters as a JSON object, the same for all seeds"),
)
NAMES = tuple(column.name for column in COLUMNS)
RETRAINED = tuple(f"retrained_{name}" for name in PARTS)
SCORES = (*PARTS, *RETRAINED, "MIA")  # may be empty where a model is not usable
NOTED = ("source", *RETRAINED, "seconds", "retrain_seconds")  # have no column in a row and go into its notes
CELL = (
    *("dataset", "dataset_title", "arch", "arch_title", "train_epochs", "train_batch_size", "train_lr", "limit"),
    *("forget_kind", "forget_title", "forget_remarks", "forget_ratio"),
    *("n_retain", "n_forget", "n_val", "n_test", "n_unseen_test", "classes", "precision"),
    *("sequence", "round", "rounds", "requested", "forgotten"),
)
JOINED = ("cell", "result_set", *KIND, *CELL)  # what a joined row has in common with those of its result set
_READ = {name: TypeAdapter(kind.accepts) for name, kind in KINDS.items()}


class Line(NamedTuple):
    """A line: file and number in words, its values by column (None: empty), a row of the result set it belongs to."""

    where: str
    given: dict[str, Any]
    belongs_to: Mapping[str, Any]

    @property
    def model(self) -> tuple[Any, ...]:
        """The values of `MODEL`."""
        return self.belongs_to["cell"], self.belongs_to["result_set"], self.given["method"], self.given["seed"]


def join(frame: pd.DataFrame, cases: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`frame` and `cases` with the lines of the CSV file `path` added as further methods of our result sets.

    frame: what `rows.collect` returned; cases: what `coverage.outcomes` made of it. Both come back with the same
    columns, dtypes and order, our own lines unchanged. Seeds of a result set that the file lacks are "missing" there.

    What a joined row cannot know is null; `seconds` is, too (NaN, in no row of ours), for times of another machine are
    not to be read beside ours: they only make RTE, a ratio on one machine. threads is 0, date that of the file,
    metrics_key its SHA-256. notes: extra (the file's name), sha256 (16 digits) and, where given, `NOTED`.

    Raises ConfigError for a file that cannot be read or says what `COLUMNS` do not allow (naming line and column), a
    line twice, a method with several titles or hyper-parameters or the id of one of ours, a result set that does not
    exist or is not named among several, and a seed that it does not have. Nothing is made then.
    """
    content = _content(path)
    latest = frame[frame["result_set"].notna()].sort_values("date", kind="stable")
    sets = latest.drop_duplicates(["cell", "result_set"], keep="last")
    lines = [Line(where, given, _result_set_of(where, given, sets)) for where, given in _lines(path, content).items()]
    _refuse_contradictions(lines)
    for line in lines:
        _check_model(line, cases)
    digest, date = hashlib.sha256(content).hexdigest(), _modified(path)
    made = [_row(line, path.name, digest, date) for line in lines]
    added = pd.DataFrame(made, columns=list(frame)).astype(frame.dtypes)
    joined = pd.concat([frame, added]).sort_values([*MODEL, "date"], ignore_index=True)
    added_cases = _cases(added, cases, path)
    return joined, pd.concat([cases, added_cases]).sort_values(["dataset", "arch", *MODEL], ignore_index=True)


def remark(frame: pd.DataFrame) -> str:
    """What captions say of joined methods among the rows `frame`: their titles, file and sources; "" without any."""
    theirs = frame[frame["machine"] == ELSEWHERE].sort_values("method_title", kind="stable")
    origins: dict[str, list[str]] = {}
    for title, notes in theirs.groupby("method_title", sort=False)["notes"]:
        origins.setdefault(_origin_in_words(notes.map(json.loads)), []).append(str(title))
    told = [f"{', '.join(titles)} ({origin})" for origin, titles in origins.items()]
    return f"{MARK} run elsewhere, not by this program: {'; '.join(told)}. " if told else ""


def _origin_in_words(notes: pd.Series) -> str:
    files = dict.fromkeys(f"{note['extra']}, sha256 {note['sha256']}" for note in notes)
    sources = dict.fromkeys(note["source"] for note in notes if "source" in note)
    return ", ".join([*files, *sources])


# ----------------------------------------------------------------------------------------------------- reading the file


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read",
            given=error.strerror,
            allowed="a CSV file",
            remedy="give its path, e.g. extra=theirs.csv",
        ) from None


def _lines(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    """Where in the file -> the values by column that stand there."""
    lines = {}
    try:
        text = StringIO(content.decode("utf-8-sig"), newline="")
        reader = csv.DictReader(text, restval="", skipinitialspace=True, strict=True)
        _check_header(path, reader.fieldnames or ())
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            lines[where] = _values(where, cells)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path} is not a CSV file",
            given=str(error),
            allowed="lines of values separated by commas, UTF-8, text with commas in double quotes",
            remedy="save it as CSV (UTF-8) again",
        ) from None
    if not lines:
        raise ConfigError(
            f"{path} has no lines",
            given="a header only",
            allowed="one line per method, dataset, arch and seed",
            remedy="add some, or leave extra= out",
        )
    return lines


def _check_header(path: Path, names: Sequence[str]) -> None:
    required = [column.name for column in COLUMNS if column.required]
    faults = {
        "missing": [name for name in required if name not in names],
        "unknown": [name for name in names if name not in NAMES],
        "twice": [name for name in NAMES if names.count(name) > 1],
    }
    if any(faults.values()):
        optional = [column.name for column in COLUMNS if not column.required]
        raise ConfigError(
            f"{path} does not have the columns of a file of results",
            given="; ".join(f"{fault}: {', '.join(map(repr, names))}" for fault, names in faults.items() if names),
            allowed=f"required: {', '.join(required)}; optional: {', '.join(optional)}",
            remedy="correct its first line, which names the columns, separated by commas",
        )


def _values(where: str, cells: Mapping[str | None, Any]) -> dict[str, Any]:
    if None in cells:
        raise ConfigError(
            f"{where}: more values than the first line names columns",
            given=", ".join(cells[None]),
            allowed="one value per column",
            remedy='put text with commas in double quotes, e.g. "{""lr"": 0.01, ""epochs"": 3}"',
        )
    given = {column.name: _value(where, column, cells.get(column.name, "").strip()) for column in COLUMNS}
    usable = given["usable"] is not False
    empty = [column for column in COLUMNS if column.required and given[column.name] is None]
    for column in empty:
        if usable or column.name not in SCORES:
            raise _unfit(where, column, "nothing", "fill it in; accuracies and MIA may be empty where usable is false")
    params = json.dumps(json.loads(given["params"] or "{}"), sort_keys=True)
    return given | {"usable": usable, "title": given["title"] or given["method"].upper(), "params": params}


def _value(where: str, column: Column, text: str) -> Any:
    if not text:
        return None
    try:
        return _READ[column.dtype].validate_python(text)
    except ValidationError:
        remedy = _as_share(text) if column.dtype == "share" else None
        raise _unfit(where, column, repr(text), remedy or "correct the line") from None


def _as_share(text: str) -> str | None:
    """The remedy for a percentage."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        return None
    return f"divide percentages by 100: {percent / 100:g}" if 0 <= percent <= 100 else None


def _unfit(where: str, column: Column, given: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"{where}: column {column.name!r} has a value that cannot be used",
        given=given,
        allowed=f"{KINDS[column.dtype].allowed} ({column.meaning})",
        remedy=remedy,
    )


# --------------------------------------------------------------------------------------------------- where lines belong


def _result_set_of(where: str, given: Mapping[str, Any], sets: pd.DataFrame) -> dict[str, Any]:
    """The row of `sets` (one per result set of ours) that a line with the values `given` belongs to."""
    dataset, arch, wanted = given["dataset"], given["arch"], given["result_set"] or ""
    own = sets[(sets["dataset"] == dataset) & (sets["arch"] == arch)]
    if own.empty:
        known = {" ".join(names) for names in zip(sets["dataset"], sets["arch"], strict=True)}
        raise ConfigError(
            f"{where}: there is no result set of ours to join",
            given=f"dataset {dataset}, arch {arch}",
            allowed=", ".join(sorted(known)) or "(none: no method was run)",
            remedy="correct dataset and arch, or run a sweep there",
        )
    named = own[own["result_set"].str.startswith(wanted)]
    if len(named) != 1:
        raise ConfigError(
            f"{where}: which result set of {dataset} {arch} is not clear",
            given=f"result_set {wanted or 'not given'}",
            allowed="; ".join(map(_result_set_in_words, own.to_dict("records"))),
            remedy="give the id of one, or its first digits, in the column result_set",
        )
    belongs_to: dict[str, Any] = named.iloc[0].to_dict()
    return belongs_to


def _result_set_in_words(belongs_to: Mapping[str, Any]) -> str:
    facts = [f"{name} {belongs_to[name]}" for name in (*KIND, "train_epochs", "limit") if not pd.isna(belongs_to[name])]
    return f"{belongs_to['result_set']} ({', '.join(facts)})"


def _refuse_contradictions(lines: Sequence[Line]) -> None:
    """Raises ConfigError for a model twice, and where a method has two titles, a title two methods, or params change.

    Tables tell methods by their titles, and of two params within a result set `rows.current` would drop one silently.
    """
    _refuse_two(lines, "one line per method, dataset, arch, result set and seed", lambda line: (line.model, line.where))
    _refuse_two(lines, "one title per method", lambda line: (line.given["method"], line.given["title"]))
    _refuse_two(lines, "one method per title", lambda line: (line.given["title"], line.given["method"]))
    _refuse_two(lines, "the same params on all seeds", lambda line: (line.model[:3], line.given["params"]))


def _refuse_two(lines: Sequence[Line], allowed: str, pair: Callable[[Line], tuple[Any, str]]) -> None:
    """pair: line -> (key, value), of which equal keys must have equal values."""
    seen: dict[Any, tuple[str, str]] = {}
    for line in lines:
        key, value = pair(line)
        earlier, first = seen.setdefault(key, (line.where, value))
        if first != value:
            names = ("method", "dataset", "arch", "seed")
            raise ConfigError(
                f"{line.where} contradicts {earlier}",
                given=", ".join(f"{name} {line.given[name]}" for name in names) + f": {first} and {value}",
                allowed=allowed,
                remedy="correct or remove one of them, or give one method another id and title",
            )


def _check_model(line: Line, cases: pd.DataFrame) -> None:
    """The method is none of ours, in any result set (tables over cells would mix them), and the seed is one of ours."""
    method, seed = line.given["method"], line.given["seed"]
    own = {*cases["method"], *REFERENCES}
    if method in own:
        raise ConfigError(
            f"{line.where}: there are results of our own for method {method!r}",
            given=method,
            allowed=f"any id but {', '.join(sorted(own))}",
            remedy=f"give theirs another id, e.g. {method}-elsewhere",
        )
    own = cases[(cases["cell"] == line.belongs_to["cell"]) & (cases["result_set"] == line.belongs_to["result_set"])]
    seeds = sorted(set(own["seed"]))
    if seed not in seeds:
        raise ConfigError(
            f"{line.where}: the result set {line.belongs_to['result_set']} does not have this seed",
            given=f"seed {seed}",
            allowed=", ".join(map(str, seeds)),
            remedy="leave the line out, or run our methods on that seed, too",
        )


# ------------------------------------------------------------------------------------------------- rows and their cases


def _modified(path: Path) -> str:
    return datetime.datetime.fromtimestamp(int(path.stat().st_mtime), datetime.UTC).isoformat()


def _row(line: Line, file: str, digest: str, date: str) -> dict[str, Any]:
    """The fields of a row; those that are not here are null."""
    given = line.given
    noted = {name: given[name] for name in NOTED if given[name] is not None}
    notes = {"extra": file, "sha256": digest[:16], **noted}
    return {
        **{name: line.belongs_to[name] for name in JOINED},
        **{name: given[name] for name in ("method", "seed", "params", "usable")},
        **_scores(given, not pd.isna(line.belongs_to["TA_retained"])),
        **dict.fromkeys(("machine", "device", "torch"), ELSEWHERE),
        "method_title": f"{given['title']} {MARK}",
        "notes": json.dumps(notes, sort_keys=True),
        "threads": 0,
        "date": date,
        "metrics_key": digest,
    }


def _scores(given: Mapping[str, Any], class_forgotten: bool) -> dict[str, Any]:
    """The scores of a line, and why RetDev has no value or the model does not count.

    class_forgotten: whether a class was forgotten whole. Then FR has no meaning, and what takes the test accuracy on
    the other classes cannot be told from that on all.
    """
    pairs = [(given[name], given[f"retrained_{name}"]) for name in PARTS]
    kept = [None if own is None or retrained is None else retention(own, retrained) for own, retrained in pairs]
    mia, why = given["MIA"], undefined(*kept)
    if class_forgotten:
        kept, pairs, why = [kept[0], None, None], [(None, None)], WITHOUT_CLASSES
    return {
        **{name: given[name] for name in PARTS},
        **dict(zip(("RR", "FR", "TR"), kept, strict=True)),
        "RetDev": ret_dev(*kept),
        **_gaps(pairs),
        "MIA": mia,
        "Disc": None if mia is None else discernibility(mia),
        "Indisc": None if mia is None else indiscernibility(mia),
        "RTE": rte(given["retrain_seconds"], given["seconds"]),
        "reason": why if given["usable"] else "reported as not usable",
    }


def _gaps(pairs: Sequence[tuple[float | None, float | None]]) -> dict[str, float | None]:
    """gap and ToW, to the retrained model that the accuracies come with."""
    if any(one is None for pair in pairs for one in pair):
        return {"gap": None, "ToW": None}
    own, retrained = zip(*pairs, strict=True)
    return {"gap": float(gap(own, retrained)), "ToW": float(tug_of_war(own, retrained))}


def _cases(added: pd.DataFrame, cases: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A line per joined method and seed of its result set, as in `cases`."""
    seeds = cases[["cell", "result_set", "seed"]].drop_duplicates()
    added = added.rename(columns={"forget_title": "forget"})
    asked = added[[*GROUP, "dataset", "arch", "forget"]].drop_duplicates().merge(seeds, on=["cell", "result_set"])
    lines = asked.merge(added[[*MODEL, "usable", "reason"]], how="left", on=MODEL)
    there = lines["usable"].notna()
    lines["usable"] = lines["usable"].astype("boolean").fillna(False).astype(bool)
    lines["outcome"] = there.map({True: "found", False: "missing"})
    lines["why"] = there.map({True: "", False: f"not in {path.name}"})
    return lines.assign(run="")[list(cases)].astype(cases.dtypes)
