"""Keys identify: golden hashes, nesting."""

from __future__ import annotations

import pytest

from deepunlearn.core.identity import Key
from deepunlearn.core.keys import MetricsKey, RecordKey, SliceKey, SplitKey, StudyKey, UnlearnedKey
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


def test_everything_upstream_counts() -> None:
    changed = SplitKey(**{**SPLIT.model_dump(), "limit": 1000})
    assert reference(split=changed).hash != reference().hash


def test_seeds_depend_on_purpose_and_parts_with_their_types() -> None:
    seeds = {derive_seed("a", 1), derive_seed("b", 1), derive_seed("a", "1"), derive_seed("a", 1, 0), derive_seed("a")}
    assert len(seeds) == 5
    assert derive_seed("init", "resnet18", 10, 0) == 7755389537211256398
    assert all(0 <= derive_seed("x", k) < 2**63 and 0 <= derive_seed32("x", k) < 2**32 for k in range(100))
