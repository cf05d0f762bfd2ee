"""Keys identify: golden hashes, types, nesting, later fields."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import (
    LATER,
    Key,
    MetricsKey,
    RecordKey,
    SliceKey,
    SplitKey,
    StudyKey,
    UnlearnedKey,
    canonical_json,
)
from deepunlearn.core.params import Range
from deepunlearn.core.seeding import derive_seed, derive_seed32
from tests.keys import SPLIT, reference

UNLEARNED = UnlearnedKey(original=reference(), method="msg", method_version=1, params={"lr": 1e-3, "epochs": 5})
SHARDS = RecordKey(original=reference(), needs="shards", forget=None, version=1, values={"shards": 5, "slices": 4})
GOLDEN = [  # a change here orphans every stored result: bump a VERSION instead, or declare the new field LATER
    (SPLIT, "7030216e84f9da1b"),
    (reference(), "e49dd320d524f4cb"),
    (UNLEARNED, "88180a0a7ab90a8c"),
    (reference(given="ab" * 8, epochs=0, lr=0, momentum=0, weight_decay=0, batch_size=0), "828ad805b1caeb4f"),
    (RecordKey(original=reference(), needs="updates", forget=SPLIT, version=1), "96ebe355fbad7ce4"),
    (SHARDS, "1ab02b1d4be5d75a"),
    (SliceKey(record=SHARDS, shard=1, slice=2), "0f53e421850bfa16"),
    (MetricsKey(subject=UNLEARNED, retrained=reference(role="retrained"), version=1), "b64735a5d2df3861"),
    (
        StudyKey(
            original=reference(),
            retrained=reference(role="retrained"),
            method="ft",
            method_version=1,
            ranges={"lr": Range(low=1e-5, high=0.1, log=True), "batch_size": Range(choices=(64, 128, 256))},
            fixed={},
            sampler="nsga3",
            objective="four",
            population_size=50,
            prune=False,
            version=1,
        ),
        "27171509432a7305",
    ),
]


@pytest.mark.parametrize(("key", "expected"), GOLDEN)
def test_golden_keys(key: Key, expected: str) -> None:
    assert key.short == expected


def test_numbers_are_typed_before_hashing() -> None:
    assert reference(lr=1).hash == reference(lr=1.0).hash
    assert reference(seed=1).hash != reference(seed=2).hash


def test_everything_upstream_counts() -> None:
    changed = SplitKey(**{**SPLIT.model_dump(), "limit": 1000})
    assert reference(split=changed).hash != reference().hash


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_equals_nothing_cannot_identify(value: float) -> None:
    key = UNLEARNED.model_copy(update={"params": {"lr": value}})
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


def test_seeds_depend_on_purpose_and_parts_with_their_types() -> None:
    seeds = {derive_seed("a", 1), derive_seed("b", 1), derive_seed("a", "1"), derive_seed("a", 1, 0), derive_seed("a")}
    assert len(seeds) == 5
    assert derive_seed("init", "resnet18", 10, 0) == 7755389537211256398
    assert all(0 <= derive_seed("x", k) < 2**63 and 0 <= derive_seed32("x", k) < 2**32 for k in range(100))


def test_a_copy_with_another_value_has_a_hash_of_its_own() -> None:
    """Hash and plain fields are kept with a key."""
    key, alike, other = (SplitKey(**{**SPLIT.model_dump(), "split_seed": seed}) for seed in (5, 5, 6))
    assert key.canonical() is key.canonical() and key.hash == alike.hash
    copied = key.model_copy(update={"split_seed": 6})
    assert copied.hash == other.hash != key.hash and copied.canonical()["split_seed"] == 6
    assert key == SplitKey(**SPLIT.model_dump() | {"split_seed": 5}) and copied == other, "what is kept is no field"
    assert key.model_dump() == alike.model_dump()
