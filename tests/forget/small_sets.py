"""Data with all that rules look at, and splits of them."""

from __future__ import annotations

import numpy as np

from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.samples import Labelled
from deepunlearn.core.split import Split
from deepunlearn.data.attributes import Attributes
from deepunlearn.data.splits import make_splits

CLASSES = ("ape", "bee", "cat", "dog")
TRAIN, TEST = np.arange(800) % 4, np.arange(200) % 4
ATTRIBUTES = Attributes(
    {
        "person": np.arange(800) // 20,  # 40 persons with 20 pictures each, five of each class
        "age": np.where(np.arange(800) % 10 == 0, np.nan, np.arange(800) / 10),
        "colour": np.array(["red", "green", "blue", ""])[(np.arange(800) // 4) % 4],
        "group": TRAIN // 2,
    },
    {
        "person": 100 + np.arange(200) // 20,  # other persons
        "age": np.arange(200) / 2.5,
        "colour": np.array(["red", "green", "blue", ""])[(np.arange(200) // 4) % 4],
        "group": TEST // 2,
    },
    [f"train/{CLASSES[label]}/{number}.png" for number, label in enumerate(TRAIN)],
    [f"test/{CLASSES[label]}/{number}.png" for number, label in enumerate(TEST)],
)
DATA = Labelled(TRAIN, TEST, CLASSES, ATTRIBUTES)


def cut(
    forget: ForgetSet, data: Labelled = DATA, seed: int = 1, val_ratio: float = 0.15, limit: int | None = None
) -> Split:
    return make_splits(
        data.train_labels,
        data.test_labels,
        limit=limit,
        val_ratio=val_ratio,
        forget=forget,
        seed=seed,
        class_names=data.class_names,
        attributes=data.attributes,
    ).of(0)
