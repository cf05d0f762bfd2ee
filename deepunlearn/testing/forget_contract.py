"""What every kind of forget set must keep, with the values of its YAML, on 2,000 made samples of ten classes."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.samples import Indices, Labelled, Labels
from deepunlearn.core.split import Splits
from deepunlearn.data.attributes import Attributes
from deepunlearn.data.splits import make_splits

TRAIN = np.random.RandomState(0).permutation(np.arange(2000) % 10)
TEST = np.arange(400) % 10
DATA = Labelled(
    TRAIN,
    TEST,
    tuple(f"class_{number}" for number in range(10)),
    Attributes(
        {"number": np.arange(2000), "size": np.arange(2000) / 7, "colour": np.array(["red", "blue"])[TRAIN % 2]},
        {"number": np.arange(400), "size": np.arange(400) / 7, "colour": np.array(["red", "blue"])[TEST % 2]},
        [f"train/{number}.png" for number in range(2000)],
        [f"test/{number}.png" for number in range(400)],
    ),
)
"""What rules may ask for: class names, a column of each type, names of files."""


SURE = np.random.RandomState(1).permutation(np.linspace(0, 1, 2000))  # an original's confidence in each sample


def splits_of(forget: ForgetSet, seed: int = 1, confidence: npt.NDArray[np.float64] | None = SURE) -> Splits:
    more = {"class_names": DATA.class_names, "attributes": DATA.attributes, "confidence": confidence}
    return make_splits(TRAIN, TEST, limit=None, val_ratio=0.15, forget=forget, seed=seed, **more)  # type: ignore[arg-type]


def test_each_split_divides_what_is_trained_on(forget: ForgetSet) -> None:
    splits = splits_of(forget)
    for seed in splits.seeds:
        split = splits.of(seed)
        assert splits.sizes(seed) == split.sizes
        parts = (split.retain, split.forget, split.val)
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)), "a sample is in two parts"
        for part in (*parts, split.test):
            assert part.dtype == np.int64 and bool((np.diff(part) > 0).all()), "sorted, each sample once"
        assert split.train.max() < len(TRAIN) and split.test.max() < len(TEST)


def test_equal_seeds_choose_the_same(forget: ForgetSet) -> None:
    first, again = splits_of(forget), splits_of(forget)
    assert list(first.seeds) == list(again.seeds)
    for seed in first.seeds:
        assert np.array_equal(first.of(seed).forget, again.of(seed).forget)


def test_validation_and_test_samples_are_what_they_are_for_any_kind(forget: ForgetSet) -> None:
    splits = splits_of(forget)
    first = splits.of(splits.seeds[0])
    for seed in splits.seeds:
        assert np.array_equal(splits.of(seed).val, first.val) and np.array_equal(splits.of(seed).test, first.test)
    assert len(first.val) == 300


def test_what_is_known_before_the_confidence_is_does_not_change(forget: ForgetSet) -> None:
    before, known = splits_of(forget, confidence=None), splits_of(forget)
    assert all(before.sizes(seed) == known.sizes(seed) for seed in known.seeds)
    if not forget.by_confidence:
        assert list(before.seeds) == list(known.seeds), "a kind that waits for the confidence says so"


def test_a_job_elsewhere_reads_the_same_from_the_plan(forget: ForgetSet) -> None:
    again = type(forget).model_validate_json(forget.model_dump_json())
    assert again == forget and again.key_fields(DATA) == forget.key_fields(DATA) and again.title == forget.title


def test_unseen_samples_are_of_the_parts_that_no_model_is_trained_on(forget: ForgetSet) -> None:
    splits = splits_of(forget)
    for split in map(splits.of, splits.seeds):
        for unseen, part in ((split.unseen_val, split.val), (split.unseen_test, split.test)):
            if unseen is not None:
                assert unseen.dtype == np.int64 and bool((np.diff(unseen) > 0).all()), "sorted, each sample once"
                assert bool(np.isin(unseen, part).all())


FURTHEST = 0.3  # share of samples that would need another class, beside what chance does to small sets


def test_the_attack_compares_it_with_samples_of_the_same_classes(forget: ForgetSet) -> None:
    """Else its score says what class a sample is of, whatever the model has forgotten."""
    splits = splits_of(forget)
    for split in map(splits.of, splits.seeds):
        forgotten = split.labels_in_training(TRAIN)[split.forget]
        for labels in (
            looked_at(TRAIN, split.val, split.unseen_val, split.unseen_val_labels),
            looked_at(TRAIN if split.test_of_train else TEST, split.test, split.unseen_test, split.unseen_test_labels),
        ):
            if len(labels):
                chance = 0.5 * (10 / len(forgotten) + 10 / len(labels)) ** 0.5
                assert apart(forgotten, labels) <= FURTHEST + chance, (
                    "it is of other classes than the samples that the attack compares it with: say in `unseen` which "
                    "samples are like the forgotten ones, as matched_by_class of deepunlearn.forget.matching does"
                )


def looked_at(labels: Labels, part: Indices, unseen: Indices | None, others: Labels | None) -> Labels:
    """The labels under which the attack looks at validation or test samples."""
    return labels[part if unseen is None else unseen] if others is None else others


def apart(one: Labels, other: Labels) -> float:
    """Total variation between two distributions of classes."""
    shares = [np.bincount(labels, minlength=10) / len(labels) for labels in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def test_retain_lacks_a_class_only_where_the_forget_set_took_it_whole(forget: ForgetSet) -> None:
    splits = splits_of(forget)
    for split in map(splits.of, splits.seeds):
        lost = set(TRAIN[split.forget].tolist()) - set(TRAIN[split.retain].tolist())
        assert lost == set(split.forgotten_classes)


def test_it_has_a_title(forget: ForgetSet) -> None:
    for title in (forget.title, forget.titled(DATA.class_names)):
        assert 0 < len(title) < 100 and "\n" not in title


def test_its_values_are_in_its_key(forget: ForgetSet) -> None:
    fields = forget.key_fields(DATA)
    json.loads(canonical_json(fields))
    assert fields["forget"] == forget.name
    for name in set(type(forget).model_fields) - {"name", "module", "code"}:
        other = forget.model_copy(update={name: "another value"})
        try:
            changed = other.key_fields(DATA) != fields
        except (AttributeError, TypeError, ValueError, ConfigError):
            changed = True  # it computes with the value
        assert changed, f"{name} is not part of identity"


def test_seeds_without_a_split_of_their_own_share_one(forget: ForgetSet) -> None:
    for seed in forget.seeds(range(3))[:3]:
        for role in ("original", "retrained"):
            assert forget.reference_seed(role, seed) <= seed
        splits_of(forget).of(seed)


def test_a_second_draw_keeps_its_sizes(forget: ForgetSet) -> None:
    try:
        other = splits_of(forget, seed=2)
    except ConfigError as error:
        pytest.fail(f"it fits one split_seed and not another: {error}")
    assert list(other.seeds) == list(splits_of(forget).seeds)
