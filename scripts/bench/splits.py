"""What it takes to choose who is forgotten.

ImageNet's number of images, with names of files, and CelebA's with its persons; made, nothing is read but the list.
A: measured, B: the limit.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from common import Options, Row, Taken

from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.samples import Labelled
from deepunlearn.core.split import Split
from deepunlearn.data.attributes import Attributes
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.classes import ClassesForget
from deepunlearn.forget.list import ListForget
from deepunlearn.forget.random import RandomForget
from deepunlearn.forget.where import Span, WhereForget
from deepunlearn.instruments.turns import turns

LIMITS = {"images": 2.0, "persons": 1.0}  # seconds


def rows(options: Options) -> list[Row]:
    data = {"images": _images(options.size(1_281_167, 20_000)), "persons": _persons(options.size(202_599, 20_000))}
    kinds: dict[str, tuple[str, ForgetSet]] = {
        "1.3 million images, random 10 %": ("images", RandomForget(name="random", ratio=0.1)),
        "1.3 million images, half of 100 classes": (
            "images",
            ClassesForget(name="classes", classes=tuple(range(100)), share=0.5),
        ),
        "1.3 million images, by a number": (
            "images",
            WhereForget(name="where", where={"number": Span.model_validate({"from": 0.9})}),
        ),
        "1.3 million images, 20,000 listed files": ("images", _listed(data["images"], options.scratch)),
        "203,000 portraits, 20 persons by number": (
            "persons",
            WhereForget(name="where", where={"identity": tuple(range(20))}),
        ),
        "203,000 portraits, 500 persons by name": (
            "persons",
            WhereForget(name="where", where={"name": tuple(map(str, range(500)))}),
        ),
    }
    repeats = options.size(5, 1)
    tasks = {title: partial(_cut, data[of], forget) for title, (of, forget) in kinds.items()}
    taken = turns(repeats, tasks, warm_up=not options.quick)
    return [
        Row(title, Taken("measured", taken[title]), Taken("limit", [LIMITS[of]] * repeats), "<= 1")
        for title, (of, _) in kinds.items()
    ]


def _cut(data: Labelled, forget: ForgetSet) -> Split:
    more = {"class_names": data.class_names, "attributes": data.attributes}
    labels = data.train_labels, data.test_labels
    return make_splits(*labels, limit=None, val_ratio=0.15, forget=forget, seed=1, **more).of(0)


def _images(size: int) -> Labelled:
    random = np.random.RandomState(0)
    train, test = np.sort(random.randint(0, 1000, size)), np.repeat(np.arange(1000), 50)
    names = np.char.add("n01440764/n01440764_", np.arange(size).astype(str))
    columns = Attributes({"number": random.rand(size)}, {"number": random.rand(len(test))}, names, None)
    return Labelled(train, test, tuple(map(str, range(1000))), columns)


def _persons(size: int) -> Labelled:
    persons = np.random.RandomState(0).randint(0, min(10_177, size // 20), size)
    parts = slice(size // 5, None), slice(size // 5)
    columns = [{"identity": persons[part], "name": persons[part].astype(str)} for part in parts]
    train, test = (np.arange(len(one["name"])) % 2 for one in columns)
    return Labelled(train, test, ("no", "yes"), Attributes(*columns))


def _listed(data: Labelled, folder: Path) -> ListForget:
    file = folder / "ids.csv"
    file.write_text("\n".join(["file", *data.attributes.train_names[::60].tolist()]) + "\n")
    return ListForget(name="list", file=str(file))
