"""The samples of a file are forgotten, as a deletion request names them: by the names of their files, or by number."""

from __future__ import annotations

import csv
import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import PrivateAttr, field_validator

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet, Unseen
from deepunlearn.core.paths import PACKAGE
from deepunlearn.core.samples import Candidates, Data, Indices, Samples
from deepunlearn.core.split import Splits
from deepunlearn.core.validation import Unfit
from deepunlearn.core.words import number_of
from deepunlearn.forget.matching import matched_by_class, taken_whole

COLUMNS = ("file", "id")
ROUND = "round"  # the column that says in which request an entry is
SHOWN = 10  # entries that an error lists
MOST_ROUNDS = 100  # requests one after the other: the key of a model names all that was done before


class Listed(NamedTuple):
    """Entries of a file, and what they are: names of image files, or numbers of training samples.

    values: what stands beside them in another column that was asked for.
    """

    entries: list[str]
    of: Literal["file", "id"]
    values: list[str]


class ListForget(ForgetSet):
    """A CSV file with a column `file` or `id`; other columns are ignored. A file without a header has one column.

    `id` counts the training samples from 0 as the source has them; `file` is a name relative to the dataset's folder,
    with slashes or as Windows has it.
    Entries that are in the validation part, or left out by a limit, are not trained on: remarks say how many of each.
    """

    enlarge: ClassVar[str] = "list more samples in forget.file"
    reduce: ClassVar[str] = "list fewer samples in forget.file"
    contract: ClassVar[tuple[str, ...]] = (f"forget.file={PACKAGE / 'testing' / 'ids.csv'}",)

    file: str
    _found: Indices | None = PrivateAttr(default=None)  # within one split
    _last: int | None = PrivateAttr(default=None)  # without entries of later rounds; null: all entries

    @property
    def title(self) -> str:
        count = len(read(Path(self.file)).entries)
        return f"{count:,} listed sample{'' if count == 1 else 's'}"

    @property
    def spelling(self) -> str:
        """By the file's name, wherever it lies: hyper-parameters found on one machine serve on another."""
        return f"{self.name}({Path(self.file).name})"

    def check(self) -> None:
        """That the file can be read, before any data are."""
        read(Path(self.file))

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        """As of any kind; names are looked up once for all that it asks."""
        found = self.model_copy()
        found._found = self.rows(candidates.data)
        return super(ListForget, found).split(candidates, val, test)

    def choose(self, candidates: Candidates) -> npt.NDArray[np.integer[Any]]:
        return np.flatnonzero(np.isin(candidates.rows, self.rows(candidates.data)))

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        return matched_by_class(candidates, chosen, among)

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        listed = self.rows(candidates.data)
        return taken_whole(candidates, *(np.isin(part.rows, listed) for part in (candidates, candidates.val)))

    def remarks(self, candidates: Candidates) -> Sequence[str]:
        listed = self.rows(candidates.data)
        in_val, trained = (int(np.isin(rows, listed).sum()) for rows in (candidates.val.rows, candidates.rows))
        of = f"of {len(listed):,} listed samples"
        remarks = [f"{in_val:,} {of} are in the validation part, which is not trained on anyway"] if in_val else []
        if left_out := len(listed) - in_val - trained:
            remarks.append(f"{left_out:,} {of} are left out of these data (dataset.limit=, dataset.duplicates=drop)")
        return remarks

    def identity(self, data: Data) -> dict[str, Any]:
        return {"samples": hashlib.sha256(self.rows(data).astype("<i8").tobytes()).hexdigest()}

    def rows(self, data: Data) -> Indices:
        """The listed samples, sorted. Raises ConfigError for entries that are unknown or there twice."""
        if self._found is not None:
            return self._found
        if self._last is None:
            return np.sort(located(self.file, read(Path(self.file)), data))
        rows, rounds = self.with_rounds(data)
        return np.sort(rows[rounds <= self._last])

    def until(self, last: int) -> ListForget:
        """The same without the entries whose column `round` has a higher number."""
        cut = self.model_copy()
        cut._last = last
        return cut

    def with_rounds(self, data: Data) -> tuple[Indices, Indices]:
        """The listed samples in the order of the file, and in which request each is. Raises ConfigError."""
        listed = read(Path(self.file), ROUND)
        return located(self.file, listed, data), numbered(self.file, listed)

    @field_validator("file", mode="before")
    @classmethod
    def _absolute(cls, file: Any) -> Any:
        """Jobs may start elsewhere."""
        if file is None:
            raise Unfit(
                "forget.file does not say which samples are forgotten",
                given="forget.file=null",
                allowed="a CSV file with a column file or id",
                remedy="give forget.file=FILE",
            )
        return str(Path(file).expanduser().absolute()) if isinstance(file, str) else file


def located(file: str, listed: Listed, data: Data) -> Indices:
    """The training samples of a list, in its order. Raises ConfigError for entries that are unknown or there twice."""
    _refuse_twice(file, listed.entries)
    find = _by_name if listed.of == "file" else _by_number
    rows = find(file, listed.entries, data)
    _refuse_twice(file, rows)  # 7 and 07, a.png and ./a.png
    return np.array(rows, dtype=np.int64)


def read(file: Path, beside: str | None = None) -> Listed:
    """The entries of a file, as they stand there; beside: a further column that is wanted. Raises ConfigError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = [[cell.strip() for cell in line] for line in csv.reader(text)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unfit(file, f"{type(error).__name__}: {error}", "an existing file in UTF-8") from error
    lines = [line for line in lines if any(line)]
    if not lines:
        raise _unfit(file, "no entry", "at least one entry")
    header = [name.lower() for name in lines[0]]
    known = [name for name in COLUMNS if name in header]
    if beside is not None and (len(known) != 1 or beside not in header):
        raise _unfit(file, f"columns {', '.join(lines[0])}", f"a column named file or id, and one named {beside}")
    if len(known) == 1:
        of: Literal["file", "id"] = "file" if known == ["file"] else "id"
        values = [] if beside is None else _column(file, lines[1:], header.index(beside), beside)
        return Listed(_column(file, lines[1:], header.index(of), of), of, values)
    if known or max(map(len, lines)) > 1:
        raise _unfit(file, f"columns {', '.join(lines[0])}", "one column named file or id; others are ignored")
    entries = [line[0] for line in lines]
    return Listed(entries, "id" if all(one.isdecimal() for one in entries) else "file", [])


def numbered(file: str, listed: Listed) -> Indices:
    """The column `round`. Raises ConfigError for what is no number of a request, and where one is left out."""
    told = zip(listed.entries, listed.values, strict=True)
    wrong = [f"{entry}: {text}" for entry, text in told if not (text.isdecimal() and 1 <= int(text) <= MOST_ROUNDS)]
    if wrong:
        raise ConfigError(
            f"{len(wrong):,} rounds of forget.file are no numbers of requests",
            given=f"{file}: {_first(wrong)}",
            allowed=f"whole numbers from 1, the first request, to {MOST_ROUNDS}",
            remedy=f"correct the column {ROUND}",
        )
    rounds = np.array([int(text) for text in listed.values], dtype=np.int64)
    missing = np.setdiff1d(np.arange(1, rounds.max() + 1), rounds)
    if len(missing):
        raise ConfigError(
            "forget.file leaves out a round",
            given=f"{file}: no sample of round {_first(missing.astype(str).tolist())}, and some of {rounds.max()}",
            allowed="samples in each round from 1 to the last one",
            remedy=f"correct the column {ROUND}, or number the requests without a gap",
        )
    return rounds


def _column(file: Path, lines: list[list[str]], place: int, of: str) -> list[str]:
    """The cells of a column, none of them empty."""
    short = [str(number) for number, line in enumerate(lines, start=2) if len(line) <= place or not line[place]]
    if short or not lines:
        given = f"no {of} in line {', '.join(short[:SHOWN])}" if short else "a header and no entry"
        raise _unfit(file, given, f"a value of {of} in each line")
    return [line[place] for line in lines]


def _by_number(file: str, entries: list[str], data: Data) -> list[int]:
    size = len(data.train_labels)
    unknown = [one for one in entries if not one.isdecimal() or int(one) >= size]
    if unknown:
        raise _unknown(file, unknown, f"numbers of training samples, 0 to {size - 1}", "correct the column id")
    return [int(one) for one in entries]


def _by_name(file: str, entries: list[str], data: Data) -> list[int]:
    names = data.attributes.train_names
    if names is None:
        raise ConfigError(
            "the samples of this dataset have no names, so a list cannot name them",
            given=f"forget.file={file}: {', '.join(entries[:3])}",
            allowed="numbers of training samples, from 0, in a column named id",
            remedy="list numbers, or read the images as files with dataset.source=folder",
        )
    texts = _texts(names)
    plain = plain_names(entries, texts)
    wanted = dict(zip(plain, entries, strict=True))
    there = np.fromiter(map(wanted.__contains__, texts), dtype=bool, count=len(texts))
    found = [(texts[row], row) for row in np.flatnonzero(there).tolist()]
    _refuse_ambiguous(file, found)
    rows = dict(found)
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        remedy = _hint(unknown, names, data.attributes.test_names)
        allowed = f"names of training files, such as {names[0]}"
        raise _unknown(file, [wanted[name] for name in unknown], allowed, remedy)
    return [rows[name] for name in plain]


def plain_names(entries: Sequence[str], names: Sequence[str]) -> list[str]:
    """The entries without detours; with slashes for the backslashes of one that is not among the names of the data."""
    plain = [posixpath.normpath(one) for one in entries]
    if not any("\\" in one for one in plain):
        return plain
    known = set(_texts(names))
    return [one if one in known else posixpath.normpath(one.replace("\\", "/")) for one in plain]


def _hint(unknown: list[str], names: Sequence[str], tests: Sequence[str] | None) -> str:
    """What the first unknown names may be; names: of the training files, tests: of the test part's."""
    in_test = [] if tests is None else sorted(set(unknown) & set(_texts(tests)))
    if in_test:
        return f"leave out those of the test part, which no model is trained on: {', '.join(in_test[:SHOWN])}"
    tails = {posixpath.basename(one) for one in unknown[:SHOWN]}
    alike = [one for one in _texts(names) if one.rpartition("/")[2] in tails]
    near = f"; did you mean {', '.join(alike[:3])}?" if alike else ""
    return f"give names relative to the dataset's folder{near}"


def _texts(names: Sequence[str]) -> list[str]:
    """Names as Python's texts, which are quicker to look up one after the other than numpy's."""
    texts: list[str] = np.asarray(names).tolist()
    return texts


def _refuse_twice(file: str, entries: Iterable[str | int]) -> None:
    twice = [str(one) for one, times in Counter(entries).items() if times > 1]
    if twice:
        raise ConfigError(
            f"forget.file lists {number_of(len(twice), 'sample')} twice",
            given=f"{file}: {_first(twice)}",
            allowed="each sample once",
            remedy="remove the second entries, or correct them: one of them may be meant for another sample",
        )


def _refuse_ambiguous(file: str, found: list[tuple[str, int]]) -> None:
    twice = [name for name, times in Counter(name for name, _ in found).items() if times > 1]
    if twice:
        raise ConfigError(
            "several training samples have a name that is listed in forget.file",
            given=f"{file}: {_first(twice)}",
            allowed="names that one sample has",
            remedy="list numbers of training samples in a column named id",
        )


def _unknown(file: str, entries: list[str], allowed: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"forget.file lists {number_of(len(entries), 'sample')} that the dataset does not have",
        given=f"{file}: {_first(entries)}",
        allowed=allowed,
        remedy=remedy,
    )


def _first(entries: list[str]) -> str:
    return ", ".join(entries[:SHOWN]) + (f", ... ({len(entries):,} in all)" if len(entries) > SHOWN else "")


def _unfit(file: Path, given: str, allowed: str) -> ConfigError:
    return ConfigError(
        "forget.file cannot be used",
        given=f"{file}: {given}",
        allowed=allowed,
        remedy="give forget.file=FILE with a column file (names of image files) or id (numbers of training samples)",
    )
