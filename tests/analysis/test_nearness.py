"""How far apart a request and a stored setting are, and in what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.analysis.nearness import Setting, differences, distance, family, in_words
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.validation import validate

REQUEST = Setting(dataset="cifar10", arch="resnet18", classes=10, samples=1000, forgotten=100)


def changed(**values: Any) -> Setting:
    return Setting(**{**REQUEST.model_dump(), **values})


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ({}, 0),
        ({"whole_classes": True}, 3),
        ({"dataset": "mnist"}, 1),
        ({"dataset": "cifar100", "classes": 100}, 2),
        ({"arch": "torchvision-resnet50"}, 0.5),
        ({"arch": "tinyvit"}, 1),
        ({"forgotten": 1}, 2),
        ({"samples": 10_000, "forgotten": 1000}, 1),
        ({"samples": 10_000}, 2),  # a factor of ten in the share, another in the samples
        ({"dataset": "mnist", "arch": "tinyvit", "whole_classes": True}, 5),
    ],
)
def test_points_are_those_of_the_table(values: dict[str, Any], points: float) -> None:
    assert distance(REQUEST, changed(**values)) == pytest.approx(points)
    assert len(differences(REQUEST, changed(**values))) <= 2 or points == 5


def test_ones_own_data_are_perhaps_the_same_where_they_have_as_many_classes() -> None:
    own = changed(dataset="folder")
    assert distance(own, own) == 0.5 and "other content" in differences(own, own)[0].words
    assert distance(own, changed(dataset="folder", classes=100)) == 2


SETTINGS = st.builds(
    Setting,
    dataset=st.sampled_from(["cifar10", "mnist", "folder"]),
    arch=st.sampled_from(["resnet18", "timm-resnet50", "tinyvit", "smallnet"]),
    classes=st.integers(2, 1000),
    samples=st.integers(1000, 10**7),
    forgotten=st.integers(1, 999),
    whole_classes=st.booleans(),
)


@given(SETTINGS, SETTINGS, SETTINGS)
def test_it_is_a_distance(one: Setting, other: Setting, third: Setting) -> None:
    there, back = distance(one, other), distance(other, one)
    assert there >= 0 and there == pytest.approx(back)
    assert there <= distance(one, third) + distance(third, other) + 0.5 + 1e-9  # what `folder` is of itself
    assert [found.points for found in differences(one, other)] == sorted(
        (found.points for found in differences(one, other)), reverse=True
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("resnet18", "torchvision-resnet50", "timm-resnet26d", "torchvision-wide_resnet50_2"), "resnet"),
        (("tinyvit", "timm-tiny_vit_5m_224", "torchvision-vit_b_16", "torchvision-maxvit_t"), "vit"),
        (("torchvision-resnext50_32x4d",), "resnext"),
        (("smallnet",), "smallnet"),
    ],
)
def test_families_go_by_name_whichever_the_library(names: tuple[str, ...], expected: str) -> None:
    assert {family(name) for name in names} == {expected}


def test_distances_in_words() -> None:
    assert [in_words(points) for points in (0, 0.4, 1, 2, 3, 7)] == [
        "the same setting", "near", "near", "neither near nor far", "far", "far",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values", [{"forgotten": 1000}, {"forgotten": 0}, {"samples": 0}, {"dataset": ""}, {"arch": ""}]
)
def test_a_setting_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        validate(Setting, {**REQUEST.model_dump(), **values}, "setting")
