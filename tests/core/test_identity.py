"""What a key is: types, later fields, what two have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.identity import LATER, Key, canonical_json
from deepunlearn.core.keys import SplitKey
from tests.keys import SPLIT, reference


def test_numbers_are_typed_before_hashing() -> None:
    assert reference(lr=1).hash == reference(lr=1.0).hash
    assert reference(seed=1).hash != reference(seed=2).hash


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_equals_nothing_cannot_identify(value: float) -> None:
    key = reference().model_copy(update={"lr": value})
    with pytest.raises(ConfigError, match="not finite"):
        _ = key.hash


class Old(Key):
    stage: ClassVar[str] = "test"
    a: int


class New(Key):
    stage: ClassVar[str] = "test"
    a: int
    b: Annotated[str | None, LATER] = None


def test_a_later_field_keeps_old_results_alive() -> None:
    assert New(a=1).hash == Old(a=1).hash
    assert New(a=1, b="x").hash != Old(a=1).hash


def test_the_stage_is_part_of_the_identity() -> None:
    class Other(Key):
        stage: ClassVar[str] = "other"
        a: int

    assert Other(a=1).hash != Old(a=1).hash


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=5)
)
def test_the_order_of_entries_does_not_count(values: dict[str, float]) -> None:
    assert canonical_json(values) == canonical_json(dict(reversed(values.items())))


def test_a_copy_with_another_value_has_a_hash_of_its_own() -> None:
    """Hash and plain fields are kept with a key."""
    key, alike, other = (SplitKey(**{**SPLIT.model_dump(), "split_seed": seed}) for seed in (5, 5, 6))
    assert key.canonical() is key.canonical() and key.hash == alike.hash
    copied = key.model_copy(update={"split_seed": 6})
    assert copied.hash == other.hash != key.hash and copied.canonical()["split_seed"] == 6
    assert key == SplitKey(**SPLIT.model_dump() | {"split_seed": 5}) and copied == other, "what is kept is no field"
    assert key.model_dump() == alike.model_dump()
