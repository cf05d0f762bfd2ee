"""All kinds that choose by themselves: pinned choices and keys, sweep files, and a million samples in no time."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.keys import SplitKey
from deepunlearn.core.samples import Labelled
from deepunlearn.data.attributes import Attributes
from deepunlearn.forget.classes import ClassesForget
from deepunlearn.forget.list import ListForget
from deepunlearn.forget.random import RandomForget
from deepunlearn.forget.where import Span, WhereForget
from tests.forget.small_sets import DATA, cut
from tests.keys import SPLIT


def listed(folder: Path, entries: list[str] | range) -> ListForget:
    file = folder / "ids.csv"
    file.write_text("\n".join(["id" if isinstance(entries, range) else "file", *map(str, entries)]) + "\n")
    return ListForget(name="list", file=str(file))


def test_choices_and_keys_never_change(tmp_path: Path) -> None:
    """Golden: a change of these orphans every stored result."""
    golden: list[tuple[ForgetSet, str, str]] = [
        (RandomForget(name="random", count=20), "5c35c303e401091a", "617dcd30394d568f"),
        (ClassesForget(name="classes", classes=(3,)), "debca87284cf1d7f", "3d6a22dfa46960ad"),
        (ClassesForget(name="classes", classes=("bee", "cat"), share=0.5), "3237c5baafaa0f1e", "00724269af99ed39"),
        (
            WhereForget(name="where", where={"colour": ("red",), "age": Span.model_validate({"from": 10})}),
            "a73e974a4021ccf5",
            "8e1c7a3ce715ce40",
        ),
        (listed(tmp_path, range(0, 300, 5)), "82e396aa91096341", "f867dc56b234ac7c"),
    ]
    shared = {name: getattr(SPLIT, name) for name in type(SPLIT).model_fields if not name.startswith("forget")}
    for forget, key, chosen in golden:
        assert SplitKey(**{**shared, **forget.key_fields(DATA)}).short == key, forget.title
        split = cut(forget)
        parts = (split.retain, split.forget, split.val, split.unseen_val, split.unseen_test)
        content = b"".join(part.astype("<i8").tobytes() for part in parts if part is not None)
        assert hashlib.sha256(content).hexdigest()[:16] == chosen, forget.title


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("[forget=classes, 'forget.classes=[3, cat]']", ClassesForget(name="classes", classes=(3, "cat"))),
        ("[forget.count=20]", RandomForget(name="random", count=20)),
        (
            "[forget=where, 'forget.where={identity: [2820, 3227]}']",
            WhereForget(name="where", where={"identity": (2820, 3227)}),
        ),
    ],
)
def test_sweep_files_take_the_same_settings(overrides: str, expected: ForgetSet, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"cells: [{{dataset: digits, arch: smallnet}}]\nmethods: [ft]\noverrides: {overrides}\n")
    assert read_command([f"sweep={file}"]).sweep.cells[0].forget == expected


def test_cells_of_a_sweep_file_take_them_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    forget = "{name: where, where: {age: {from: 10, to: 20}, gender: 1}}"
    file.write_text(f"cells: [{{dataset: digits, arch: smallnet, forget: {forget}}}]\nmethods: [ft]\n")
    assert read_command([f"sweep={file}"]).sweep.cells[0].forget.title == "age 10 to 20 and gender 1"


@pytest.mark.slow
def test_a_million_samples_take_less_than_two_seconds(tmp_path: Path) -> None:
    """ImageNet's size, in seconds of this process, with its files' names; scripts/bench has the figures."""
    size, random = 1_281_167, np.random.RandomState(0)
    train, test = np.sort(random.randint(0, 1000, size)), np.repeat(np.arange(1000), 50)
    names = np.char.add("n01440764/n01440764_", np.arange(size).astype(str))
    columns = Attributes({"x": random.rand(size)}, {"x": random.rand(len(test))}, names, None)  # type: ignore[arg-type]
    data = Labelled(train, test, tuple(map(str, range(1000))), columns)
    kinds: list[ForgetSet] = [
        RandomForget(name="random", ratio=0.1),
        ClassesForget(name="classes", classes=tuple(range(100)), share=0.5),
        WhereForget(name="where", where={"x": Span.model_validate({"from": 0.9})}),
        listed(tmp_path, names[:20_000].tolist()),
    ]
    for forget in kinds:
        start = time.process_time()
        cut(forget, data)
        assert time.process_time() - start < 2, forget.title
