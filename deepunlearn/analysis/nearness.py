"""How near a setting of stored results is to another one: a deletion request, or a cell of a sweep. In points.

One point is a factor of ten in a size, another architecture of another family, or another dataset. Forgetting whole
classes and forgetting samples among others of their classes are different problems, and three points apart.

| what | points |
|---|---|
| one forgets whole classes, the other does not | 3 |
| another dataset | 1, and the decimal logarithm of the ratio of the numbers of classes |
| both are files of one's own, of as many classes; rows do not say which | 1/2 |
| another architecture | 1/2 in the same family, else 1 |
| share that is forgotten | the decimal logarithm of the ratio |
| samples before the deletion | the decimal logarithm of the ratio |

These weights are ours: no study has measured how a ranking of unlearning methods carries over from one setting to
another. The choice therefore says each of them.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import pandas as pd
from pydantic import Field, model_validator

from deepunlearn.core.validation import Frozen, PositiveInt, Unfit

OTHER_KIND, OTHER_DATASET, PERHAPS_OTHER, OTHER_ARCHITECTURE, SAME_FAMILY = 3.0, 1.0, 0.5, 1.0, 0.5
NEAR, FAR = 1.0, 3.0  # points up to which a setting is near, and from which it is far
OF_ONES_OWN = ("folder", "table", "huggingface")  # names that data of any content have
FAMILIES = (  # the first that is part of a name is its family: wide_resnet50 is a resnet, tinyvit and maxvit are vit
    *("resnext", "resnet", "densenet", "efficientnet", "mobilenet", "shufflenet", "squeezenet", "alexnet", "convnext"),
    *("regnet", "inception", "vgg", "swin", "deit", "vit", "mlp"),
)
Name = Annotated[str, Field(min_length=1)]


class Setting(Frozen):
    """What a ranking of methods may depend on.

    dataset, arch: their names, as rows of results have them (cifar10; resnet18, torchvision-resnet50); of images of
    one's own any name that no dataset has. samples: that the model was trained on; forgotten: of these; whole_classes:
    whether no sample of some class is left.
    """

    dataset: Name
    arch: Name
    classes: PositiveInt
    samples: PositiveInt
    forgotten: PositiveInt
    whole_classes: bool = False

    @model_validator(mode="after")
    def _some_are_left(self) -> Setting:
        if self.forgotten >= self.samples:
            raise Unfit(
                "a deletion that leaves no sample",
                given=f"{self.forgotten} of {self.samples} samples",
                allowed="fewer than all",
                remedy="train another model, or forget fewer samples",
            )
        return self

    @property
    def share(self) -> float:
        return self.forgotten / self.samples


def setting_of(rows: pd.DataFrame) -> Setting:
    """Of stored rows of one cell: before the deletion, as a request would have it."""
    first = rows.iloc[0]
    return Setting(
        dataset=first["dataset"],
        arch=first["arch"],
        classes=int(first["classes"]),
        samples=int(first["n_retain"] + first["n_forget"]),
        forgotten=int(first["n_forget"]),
        whole_classes=bool(rows["TA_forgotten"].notna().any()),
    )


def name_of(rows: pd.DataFrame) -> str:
    """For people: the cell of stored rows of one result set, and which result set."""
    first = rows.iloc[0]
    titles = f"{first['dataset_title']}, {first['arch_title']}, {first['forget_title']}"
    return f"{titles} (result set {first['result_set'][:8]})"


class Difference(NamedTuple):
    """words: what the request has, and what the stored setting has."""

    points: float
    words: str


def family(arch: str) -> str:
    """Of `FAMILIES`, whichever library the model is of; the name itself where it has none of them."""
    plain = arch.lower().replace("_", "")
    return next((one for one in FAMILIES if one in plain), arch)


def differences(request: Setting, stored: Setting) -> list[Difference]:
    """What differs, the largest first; nothing for the same setting."""
    found = [
        _kind(request, stored),
        _dataset(request, stored),
        _architecture(request, stored),
        _size(request.share, stored.share, "{:.3g} of the samples are forgotten", "{:.3g}"),
        _size(request.samples, stored.samples, "{} samples", "{}"),
    ]
    return sorted((one for one in found if one.points > 0), key=lambda one: -one.points)


def distance(request: Setting, stored: Setting) -> float:
    """The points of all differences, 0 for the same setting."""
    return math.fsum(one.points for one in differences(request, stored))


def in_words(points: float) -> str:
    """What a distance means."""
    if points == 0:
        return "the same setting"
    return "near" if points <= NEAR else "far" if points >= FAR else "neither near nor far"


def _kind(request: Setting, stored: Setting) -> Difference:
    words = ["samples among others of their classes", "whole classes"]
    told = f"{words[request.whole_classes]} are forgotten, there {words[stored.whole_classes]}"
    return Difference(OTHER_KIND * (request.whole_classes != stored.whole_classes), told)


def _dataset(request: Setting, stored: Setting) -> Difference:
    alike = (request.dataset, request.classes) == (stored.dataset, stored.classes)
    if alike and request.dataset in OF_ONES_OWN:
        return Difference(PERHAPS_OTHER, f"{request.dataset}, there {stored.dataset}, which may have other content")
    if alike:
        return Difference(0.0, "")
    points = OTHER_DATASET + _decades(request.classes, stored.classes)
    return Difference(
        points, f"{request.dataset} ({request.classes} classes), there {stored.dataset} ({stored.classes} classes)"
    )


def _architecture(request: Setting, stored: Setting) -> Difference:
    told = f"{request.arch}, there {stored.arch}"
    if request.arch == stored.arch:
        return Difference(0.0, told)
    alike = family(request.arch) == family(stored.arch)
    return Difference(SAME_FAMILY if alike else OTHER_ARCHITECTURE, told + (" (of the same family)" if alike else ""))


def _size(own: float, other: float, words: str, there: str) -> Difference:
    return Difference(_decades(own, other), f"{words.format(own)}, there {there.format(other)}")


def _decades(own: float, other: float) -> float:
    return abs(math.log10(own / other))
