"""Batches: the fast path against a slow oracle, order and draws, incomplete batches, memory-mapped data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deepunlearn.core.batches import training_batches
from deepunlearn.core.errors import ConfigError, DataError
from deepunlearn.core.split import Split
from deepunlearn.data.decoded import Decoded
from deepunlearn.data.loader import Part, ResidentData, Transform, make_parts, measured_statistics
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.random import RandomForget
from tests.data.small_data import noise

CPU = torch.device("cpu")
PLENTY = 1e9


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_decoded(channels: int = 3, size: int = 8, train: int = 150, test: int = 40) -> Decoded:
    return Decoded(
        noise(1, train, channels, size, size),
        noise(2, test, channels, size, size),
        np.arange(train) % 3,
        np.arange(test) % 3,
        ("a", "b", "c"),
        "0" * 64,
    )


def small_split(data: Decoded, limit: int | None = None) -> Split:
    quarter = RandomForget(name="random", ratio=0.25)
    labels = data.train_labels, data.test_labels
    return make_splits(*labels, limit=limit, val_ratio=0.2, forget=quarter, seed=3).of(0)


@pytest.fixture
def parts(config):
    """parts(cifar10 settings...): Parts of a small Decoded."""

    def make(data: Decoded | None = None, budget: float = PLENTY, limit: int | None = None, **changes):
        data = data or small_decoded()
        changes = {"crop_padding": 2, **changes}
        return make_parts(data, small_split(data, limit), config("cifar10", image_size=8, **changes), CPU, budget)

    return make


def collect(part: Part, *arguments, **options) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(part.batches(*arguments, **options))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


# ------------------------------------------------------------------------------------------------------- slow oracles


def slow_normalise(image: np.ndarray, mean, std) -> torch.Tensor:
    """uint8 [C, S, S] by torchvision's ToTensor and Normalize on a PIL image of three channels."""
    pixels = np.repeat(image, 3 // len(image), axis=0).transpose(1, 2, 0)
    return tv.normalize(tv.to_tensor(Image.fromarray(pixels)), list(mean), list(std))


def slow_augment(image: np.ndarray, padding: int, down: int, right: int, flip: bool) -> np.ndarray:
    size = image.shape[-1]
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    cropped = padded[:, down : down + size, right : right + size]
    return cropped[:, :, ::-1] if flip else cropped


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    padding=st.integers(0, 5),
    flips=st.booleans(),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_a_training_epoch_is_that_of_the_slow_oracle(channels, padding, flips, batch_size, seed):
    """Bit for bit: PIL-like padding, cropping and mirroring of each image, then torchvision's normalisation."""
    images, labels = noise(seed, 21, channels, 8, 8), np.arange(21)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    settings_of = FakeSettings(padding, flips)
    transform = Transform(settings_of, mean, std, CPU)
    data = ResidentData(images, labels, np.arange(21), CPU, resident=True)
    x, y = collect(Part(data, torch.arange(21), transform), batch_size, generator(seed), augment=True)

    random = generator(seed)
    order = torch.randperm(21, generator=random)
    draws = transform.draw(21, random)
    assert torch.equal(y, order)
    for row, index in enumerate(order.tolist()):
        image = images[index]
        if draws is not None:
            drawn = (int(draws.down[row]), int(draws.right[row]), bool(draws.flip[row]))
            image = slow_augment(image, padding, *drawn)
        assert torch.equal(x[row], slow_normalise(image, mean, std))


@dataclasses.dataclass
class FakeSettings:
    crop_padding: int
    flip: bool


def test_draws_cover_every_offset_and_both_directions():
    transform = Transform(FakeSettings(4, True), (0.5,), (0.5,), CPU)
    draws = transform.draw(9000, generator())
    for offsets in (draws.down, draws.right):
        counts = torch.bincount(offsets, minlength=9)
        assert len(counts) == 9
        assert (counts - 1000).abs().max() < 150  # 5 standard deviations
    assert abs(int(draws.flip.sum()) - 4500) < 250
    assert abs(np.corrcoef(draws.down, draws.right)[0, 1]) < 0.06
    assert abs(np.corrcoef(draws.down, draws.flip)[0, 1]) < 0.06


def test_without_flip_nothing_is_mirrored_and_without_padding_nothing_moves():
    assert not Transform(FakeSettings(4, False), (0.5,), (0.5,), CPU).draw(500, generator()).flip.any()
    draws = Transform(FakeSettings(0, True), (0.5,), (0.5,), CPU).draw(500, generator())
    assert not draws.down.any() and not draws.right.any() and draws.flip.any()
    assert Transform(FakeSettings(0, False), (0.5,), (0.5,), CPU).draw(500, generator()) is None


def test_padding_is_black_before_normalisation(parts):
    white = dataclasses.replace(small_decoded(), train_images=np.full((150, 3, 8, 8), 255, dtype=np.uint8))
    x, _ = collect(parts(white)["train"], 16, generator(), augment=True)
    expected = {round((shade - mean) / std, 3) for shade in (0, 1) for mean, std in zip(MEAN, STD, strict=True)}
    assert {round(value, 3) for value in x.unique().tolist()} == expected


MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


# ------------------------------------------------------------------------------------------------------------ batches


def test_batches_have_the_promised_form(parts):
    for x, y in parts()["retain"].batches(16, generator(), augment=True):
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.shape[1:] == (3, 8, 8) and len(x) == len(y)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_without_a_generator_the_order_is_that_of_the_part(parts):
    data = small_decoded()
    split = small_split(data)
    made = parts(data)
    for name, rows in (("retain", split.retain), ("forget", split.forget), ("val", split.val), ("train", split.train)):
        x, y = collect(made[name], 16)
        assert torch.equal(y, made[name].labels)
        assert y.tolist() == data.train_labels[rows].tolist()
        assert torch.equal(x, torch.stack([slow_normalise(data.train_images[row], MEAN, STD) for row in rows]))
    x, y = collect(made["test"], 16)
    assert y.tolist() == data.test_labels[split.test].tolist()
    assert torch.equal(x[5], slow_normalise(data.test_images[split.test[5]], MEAN, STD))


def test_a_generator_shuffles_images_and_labels_together(parts):
    data = small_decoded()
    unique = dataclasses.replace(data, train_labels=np.arange(150) % 3)
    part = parts(unique)["train"]
    plain_x, plain_y = collect(part, 32)
    x, y = collect(part, 32, generator(1))
    order = torch.randperm(len(part), generator=generator(1))
    assert torch.equal(x, plain_x[order]) and torch.equal(y, plain_y[order])
    assert not torch.equal(x, collect(part, 32, generator(2))[0])


def test_the_order_does_not_depend_on_the_batch_size(parts):
    part = parts()["train"]
    for augment in (False, True):
        first, second = (collect(part, size, generator(4), augment)[0] for size in (8, 50))
        assert torch.equal(first, second)


def test_randomness_is_spent_by_the_call_and_not_by_its_consumer(parts):
    """A loop that stops early leaves the generator where a full one does."""
    part, one, other = parts()["train"], generator(7), generator(7)
    next(part.batches(16, one, augment=True))
    list(part.batches(16, other, augment=True))
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize("samples", [1, 16, 17, 18, 24, 33, 34, 50])
def test_a_pass_serves_each_sample_once_in_the_batches_of_the_rule(parts, samples):
    part = parts()["train"].subset(range(samples))
    for options in ({}, {"generator": generator(3)}, {"generator": generator(3), "augment": True}):
        served = list(part.batches(16, **options))
        assert [len(x) for x, _ in served] == [len(y) for _, y in served] == training_batches(samples, 16)
        assert len(served) == part.steps(16)
    numbered = part.with_labels(torch.arange(samples))
    for passed in (numbered.batches(16, generator()), numbered.blocks(16, generator())):
        assert sorted(torch.cat([y for _, y in passed]).tolist()) == list(range(samples))


def test_joined_parts_and_subsets_are_cut_as_what_they_are(parts):
    train = parts()["train"]
    both = train.subset(range(30)).joined(train.subset(range(30, 34)))
    assert [len(x) for x, _ in both.batches(16, generator())] == [17, 17]
    assert [len(x) for x, _ in both.subset(range(24)).batches(16, generator())] == [16, 8]
    assert both.steps(16) == 2


def test_evaluation_goes_through_plain_blocks(parts):
    part = parts()["train"].subset(range(34))
    assert [len(x) for x, _ in part.blocks(16)] == [16, 16, 2]
    assert torch.equal(torch.cat([x for x, _ in part.blocks(16)]), collect(part, 16)[0])
    order = torch.cat([y for _, y in part.with_labels(torch.arange(34)).blocks(16, generator(4))])
    assert torch.equal(order, torch.randperm(34, generator=generator(4)))


def test_batches_leave_the_global_random_state_alone(parts):
    before = torch.get_rng_state()
    collect(parts()["train"], 16, generator(), augment=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_serving_does_not_change_the_images(parts):
    part = parts()["train"]
    first = collect(part, 16)[0]
    for x, _ in part.batches(16):
        x.zero_()
    assert torch.equal(collect(part, 16)[0], first)


def test_augmenting_needs_a_generator(parts):
    with pytest.raises(AssertionError):
        parts()["train"].batches(16, augment=True)


# -------------------------------------------------------------------------------------------------------------- parts


def test_a_subset_of_a_subset(parts):
    part = parts()["train"]
    x, y = collect(part, 32)
    chosen = part.subset(np.array([9, 3, 60, 3]))
    assert len(chosen) == 4
    assert torch.equal(collect(chosen, 32)[0], x[[9, 3, 60, 3]])
    assert chosen.labels.tolist() == y[[9, 3, 60, 3]].tolist()
    again = chosen.subset(torch.tensor([2, 0]))
    assert torch.equal(collect(again, 32)[0], x[[60, 9]])
    assert len(part.subset([])) == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("limit", [None, 90])
def test_memory_mapped_data_give_the_same_batches(parts, tmp_path, channels, limit):
    data = small_decoded(channels)
    np.save(tmp_path / "train.npy", data.train_images)
    mapped = dataclasses.replace(data, train_images=np.load(tmp_path / "train.npy", mmap_mode="r"))
    here, there = parts(mapped, PLENTY, limit), parts(mapped, 0, limit)
    assert here.keys() == there.keys() == {"retain", "forget", "val", "test", "train"}
    for name, part in here.items():
        for options in ({}, {"generator": 5}, {"generator": 5, "augment": True}):
            results = []
            for candidate in (part, there[name]):
                keywords = {**options, **({"generator": generator(5)} if options else {})}
                results.append(collect(candidate, 16, **keywords))
            assert torch.equal(results[0][0], results[1][0])
            assert torch.equal(results[0][1], results[1][1])


def test_the_budget_is_of_the_images_that_are_used(parts):
    data = small_decoded()
    needed = (150 + 40) * 3 * 8 * 8
    assert parts(data, needed)["train"]._data.resident
    assert not parts(data, needed - 1)["train"]._data.resident
    assert parts(data, needed * 0.7, limit=90)["train"]._data.resident


def test_a_limit_serves_the_same_images_as_the_split_names(parts):
    data = small_decoded()
    split = small_split(data, 90)
    x, y = collect(parts(data, limit=90)["forget"], 16)
    assert y.tolist() == data.train_labels[split.forget].tolist()
    assert torch.equal(x[2], slow_normalise(data.train_images[split.forget[2]], MEAN, STD))


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, as accelerators do (copies are what moves them)."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        tensors = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor) and leaf.ndim]
        assert len({tensor.device for tensor in tensors}) <= 1, f"{function} mixes devices"
        return function(*arguments, **(keywords or {}))


def test_no_operation_mixes_devices(config):
    """On the meta device, which has shapes and no values: an index or a statistic left on the CPU is refused."""
    data, meta = small_decoded(), torch.device("meta")
    for budget in (PLENTY, 0):
        made = make_parts(data, small_split(data), config("cifar10", image_size=8), meta, budget)
        assert made["retain"].labels.device == meta
        with OneDevice():
            batches = list(made["train"].subset(range(40)).batches(16, generator(), augment=True))
        for x, y in batches:
            assert x.device == y.device == meta
            assert x.shape[1:] == (3, 8, 8)
            assert x.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_all_pixels(channels):
    images = noise(3, 2500, channels, 4, 4)
    images[:, 0] //= 2
    rows = np.arange(0, 2500, 2)
    mean, std = measured_statistics(images, rows)
    scaled = images[rows].astype(np.float64) / 255
    assert mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(scaled.std(axis=(0, 2, 3)), rel=1e-12)


def test_unset_statistics_come_from_the_limited_training_part_alone(parts):
    data = small_decoded(channels=1)
    data.train_images[:75] //= 4
    data.test_images[:] = 255
    made = parts(data, mean=None, std=None)
    pixels = torch.cat([collect(made[name], 16)[0] for name in ("retain", "forget", "val")])
    assert pixels.mean((0, 2, 3)).abs().max() < 1e-5
    assert (pixels.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5
    limited = small_split(data, 60)
    made = parts(data, limit=60, mean=None, std=None)
    mean, std = measured_statistics(data.train_images, np.union1d(limited.train, limited.val))
    row = limited.forget[0]
    expected = slow_normalise(data.train_images[row], mean * 3, std * 3)
    assert torch.equal(collect(made["forget"], 4)[0][0], expected)


def test_one_value_serves_all_channels(parts):
    one, three = parts(mean=[0.3], std=[0.2]), parts(mean=[0.3] * 3, std=[0.2] * 3)
    assert torch.equal(collect(one["val"], 8)[0], collect(three["val"], 8)[0])


@pytest.mark.parametrize(("mean", "std"), [([0.5, 0.5], [0.1, 0.1]), ([0.5], [0.0]), ([0.1] * 3, [0.1, -0.2, 0.1])])
def test_unusable_statistics_are_refused(parts, mean, std):
    with pytest.raises(ConfigError, match=r"dataset\.mean and dataset\.std") as error:
        parts(mean=mean, std=std)
    assert error.value.remedy


def test_images_of_one_shade_are_refused(parts):
    flat = dataclasses.replace(small_decoded(), train_images=np.full((150, 3, 8, 8), 7, dtype=np.uint8))
    with pytest.raises(DataError, match="same single shade"):
        parts(flat, mean=None, std=None)


# --------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("budget", [PLENTY, 0.0])
def test_rows_of_tables_are_served_as_they_are(config, budget) -> None:
    random = np.random.RandomState(0)
    train, test = (random.normal(size=(rows, 7)).astype(np.float32) for rows in (120, 40))
    data = Decoded(train, test, np.arange(120) % 3, np.arange(40) % 3, ("a", "b", "c"), "0" * 64)
    split = small_split(data)
    parts = make_parts(data, split, config("iris"), CPU, budget)
    assert parts["retain"].shape == (7,)
    for name, rows in (("retain", train[split.retain]), ("val", train[split.val]), ("test", test[split.test])):
        assert torch.equal(collect(parts[name], 16)[0], torch.from_numpy(rows)), "neither scaled nor turned"
    given = collect(parts["forget"], 8, torch.Generator().manual_seed(1), augment=True)[0]
    expected = torch.from_numpy(train[split.forget])
    assert torch.equal(given.sort(0).values, expected.sort(0).values) and not torch.equal(given, expected), "shuffled"


def test_samples_beside_a_part_come_as_they_are_in_one_shuffled_pass(parts):
    part = parts()["forget"]
    ((x, y),) = part.batches(1000)
    beside = part.beside(x[:5] + 100, torch.arange(5))
    assert len(beside) == len(part) + 5 and beside.steps(8) == len(list(beside.batches(8)))
    ((seen, labels),) = beside.batches(1000, torch.Generator().manual_seed(1))
    order = torch.randperm(len(beside), generator=torch.Generator().manual_seed(1))
    assert torch.equal(seen, torch.cat([x, x[:5] + 100])[order])
    assert torch.equal(labels, torch.cat([y, torch.arange(5)])[order])
