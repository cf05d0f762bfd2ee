"""Data that callers of the library hand over."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from deepunlearn.core.errors import DataError
from deepunlearn.data.given import Data, read_given
from deepunlearn.testing.small import runtime

COUNT = 11
INPUTS = torch.rand(COUNT, 2, 4, 4, generator=torch.Generator().manual_seed(3))
LABELS = torch.arange(COUNT) % 3
FLIPPED = INPUTS.flip(-1).numpy()[..., ::-1]  # the same values, read backwards
NOISES: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "numpy": np.random.rand,
    "python": random.random,
}


def sources() -> list[Any]:
    """Random number generators of each kind, as datasets, transforms and samplers hold them."""
    return [
        torch.Generator().manual_seed(7),
        np.random.default_rng(7),
        np.random.RandomState(7),
        random.Random(7),
    ]


def drawn(source: Any) -> float:
    if isinstance(source, torch.Generator):
        return float(torch.rand((), generator=source))
    return float(source.rand() if isinstance(source, np.random.RandomState) else source.random())


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """A dataset with a random transform; `transforms` are generators of its own that it draws from as well."""

    def __init__(self, noise: Callable[[], float] = lambda: 0.0, transforms: list[Any] | None = None) -> None:
        self.noise, self.transforms = noise, transforms or []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = self.noise() + sum(drawn(source) for source in self.transforms)
        return INPUTS[index] + noise, LABELS[index]


class Streamed(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(INPUTS, LABELS, strict=True))


class Items(Dataset[Any]):
    """Items as they are given, whatever they are."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@dataclass
class Caller:
    function: Callable[[], float]

    def call(self) -> float:
        return self.function()


class Rounds(DataLoader[Any]):
    """A loader whose iteration is its own."""

    def __iter__(self) -> Any:
        return (batch for batch in super().__iter__())


def read(data: Data, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(inputs, labels) as a method gets them, in their order."""
    part = read_given({"forget": data}, torch.float32, seed, runtime()).parts["forget"]
    return next(part.batches(len(part)))


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def refusal(data: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(data)
    assert caught.value.given is not None and caught.value.allowed and caught.value.remedy
    assert "forget" in str(caught.value)
    return caught.value


def plain() -> TensorDataset:
    return TensorDataset(INPUTS, LABELS)


def global_states() -> list[Any]:
    numpy_state = np.random.get_state()
    return [torch.get_rng_state().tolist(), [str(part) for part in numpy_state], random.getstate()]


# ------------------------------------------------------------------------------------------------------------ reading

FORMS: dict[str, Callable[[], Any]] = {
    "dataset": plain,
    "list of pairs": lambda: list(zip(INPUTS, LABELS, strict=True)),
    "arrays": lambda: (INPUTS.numpy(), LABELS.numpy()),
    "items of arrays and ints": lambda: Items(*zip(INPUTS.numpy(), LABELS.tolist(), strict=True)),
    "flipped arrays": lambda: (FLIPPED, LABELS.numpy()),
    "items of flipped arrays": lambda: Items(*zip(FLIPPED, LABELS.tolist(), strict=True)),
    "arrays of another machine": lambda: (INPUTS.numpy().astype(">f4"), LABELS.numpy().astype(">i8")),
    "float64": lambda: (INPUTS.double(), LABELS),
    "labels [N, 1]": lambda: (INPUTS, LABELS[:, None]),
    "labels of 8 bits": lambda: (INPUTS, LABELS.byte()),
    "another order": lambda: (INPUTS.flip(0), LABELS.flip(0)),
    "with a graph": lambda: (INPUTS.clone().requires_grad_() * 1, LABELS),
    "streamed": Streamed,
    "streamed loader": lambda: DataLoader(Streamed(), batch_size=4),
    "loader": lambda: DataLoader(plain(), batch_size=4),
    "loader of samples": lambda: DataLoader(plain(), batch_size=None),
    "shuffled": lambda: DataLoader(plain(), batch_size=4, shuffle=True),
    "shuffled, last batch dropped": lambda: DataLoader(plain(), batch_size=4, shuffle=True, drop_last=True),
    "sampler": lambda: DataLoader(plain(), batch_size=4, sampler=SubsetRandomSampler(range(COUNT))),
    "batch sampler": lambda: DataLoader(plain(), batch_sampler=[[3, 1, 4], [0, 2, 5, 6, 7], [10, 9, 8]]),
    "workers": lambda: DataLoader(plain(), batch_size=4, shuffle=True, num_workers=2),
    "workers that persist": lambda: DataLoader(plain(), shuffle=True, num_workers=1, persistent_workers=True),
    "a loader of one's own": lambda: Rounds(plain(), batch_size=4, shuffle=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_samples_is_read_alike(form: str) -> None:
    """In one order too, which depends neither on the form nor on a random state."""
    assert same(read(FORMS[form]()), read((INPUTS, LABELS)))


def test_all_samples_keep_their_labels() -> None:
    inputs, labels = read((INPUTS, LABELS))
    order = [next(index for index in range(COUNT) if torch.equal(INPUTS[index], one)) for one in inputs]
    assert sorted(order) == list(range(COUNT)) and torch.equal(labels, LABELS[order])


def test_a_subset_of_a_sampler_is_what_is_read() -> None:
    chosen = DataLoader(plain(), batch_size=2, sampler=SubsetRandomSampler([1, 4, 6]))
    assert same(read(chosen), read(Subset(plain(), [1, 4, 6])))


# ------------------------------------------------------------------------------------------------------ random states


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("noise", NOISES)
def test_equal_seeds_read_equal_samples_and_leave_the_random_states(noise: str, workers: int) -> None:
    data = Noisy(NOISES[noise])
    loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    before, results = global_states(), []
    for seed in (0, 0, 1):
        results.append(read(loader, seed))
        assert global_states() == before
    assert same(results[0], results[1]) and not same(results[0], results[2])
    torch.rand(5), np.random.rand(5), random.random()
    assert same(read(loader), results[0]), "the caller's random state decides"
    assert same(read(data), read(data)) and not same(read(data), read(data, seed=1))


@pytest.mark.parametrize("position", range(4))
def test_generators_that_the_data_hold_are_seeded_and_given_back(position: int) -> None:
    source, untouched = sources()[position], sources()[position]
    data = Subset(Noisy(transforms=[source]), range(COUNT))
    first = read(data)
    assert drawn(source) == drawn(untouched), "it moved, or stands elsewhere"
    assert same(first, read(data)) and not same(first, read(data, seed=1))


@pytest.mark.parametrize("wrap", [lambda f: f, partial, lambda f: Caller(f).call], ids=["closure", "partial", "method"])
def test_so_are_those_of_functions(wrap: Callable[[Callable[[], float]], Callable[[], float]]) -> None:
    source = np.random.default_rng(7)
    data = Noisy(wrap(lambda: float(source.random())))
    assert same(read(data), read(data)) and drawn(source) == drawn(np.random.default_rng(7))


def test_the_generator_of_a_loader_is_given_back() -> None:
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(Noisy(NOISES["torch"]), shuffle=True, num_workers=1, generator=generator)
    first = read(loader)
    torch.rand(3, generator=generator)
    before = generator.get_state()
    assert same(first, read(loader)) and torch.equal(before, generator.get_state())


def test_they_are_given_back_when_reading_fails() -> None:
    source = np.random.default_rng(7)

    class Broken(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            if index == 3:
                raise FileNotFoundError("image 3")
            return super().__getitem__(index)

    before = global_states()
    with pytest.raises(FileNotFoundError):
        read(Broken(NOISES["numpy"], [source]))
    assert global_states() == before and drawn(source) == drawn(np.random.default_rng(7))


def test_the_callers_own_pass_through_a_loader_goes_on() -> None:
    loader = DataLoader(plain(), batch_size=2, num_workers=1, persistent_workers=True)
    passing = iter(loader)
    first = next(passing)
    read(loader)
    assert torch.equal(first[0], INPUTS[:2]) and torch.equal(next(passing)[0], INPUTS[2:4])


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (LABELS.float(), "labels.long()"),
        (torch.nn.functional.one_hot(LABELS), "argmax(1)"),
        (LABELS[:-1], f"{COUNT - 1}"),
        (LABELS.to(torch.complex64), "complex64"),
        (torch.zeros(COUNT, 2, 2, dtype=torch.int64), "[N]"),
    ],
)
def test_labels_of_other_kinds_are_refused_with_what_to_type(labels: Tensor, named: str) -> None:
    assert named in str(refusal((INPUTS, labels)))


@pytest.mark.parametrize("label", [-1, -100])
def test_negative_labels_are_counted(label: int) -> None:
    labels = LABELS.clone()
    labels[[2, 5, 7]] = label
    error = refusal((INPUTS, labels))
    assert f"3 of {COUNT}" in error.problem and str(label) in str(error.given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_inputs_that_are_not_finite_are_counted(value: float) -> None:
    inputs = INPUTS.clone()
    inputs[4, 0, 1, 2] = inputs[4, 1, 0, 0] = inputs[9, 0, 0, 0] = value
    assert f"2 of {COUNT}" in refusal((inputs, LABELS)).problem


def test_values_too_large_for_the_models_numbers_are_not_finite_either() -> None:
    assert "1 of 2" in refusal((torch.tensor([[1e300], [1.0]], dtype=torch.float64), torch.tensor([0, 1]))).problem


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (Items((INPUTS[0], 0), (INPUTS[1], 1, "name")), "3 values"),
        (Items({"image": INPUTS[0], "label": 0}), "dict"),
        (Items((INPUTS[0], "cat")), "str"),
        (Items((INPUTS[0], None)), "NoneType"),
        (Items((Image.new("RGB", (4, 4)), 0)), "ToTensor"),
        (Items((INPUTS[0], 0), (INPUTS[1, :, :3], 1)), "(2, 3, 4)"),
        (Items(), "0"),
        (DataLoader(Items(), batch_size=2), "0"),
        (DataLoader(Items((INPUTS[0], 0), (INPUTS[1, :, :3], 1)), batch_size=1), "(2, 3, 4)"),
        ((INPUTS[:0], LABELS[:0]), "0"),
        ((INPUTS, [0, 1]), "list"),
        ((INPUTS, np.array(["cat"] * COUNT)), "array of <U3"),
        ((INPUTS, np.array([0, None] * 5 + [0], dtype=object)), "array of object"),
        ((INPUTS.to_sparse(), LABELS), "sparse"),
        ((INPUTS.to("meta"), LABELS), "meta"),
        (((image, 0) for image in INPUTS), "generator"),
        ("folder/of/images", "str"),
        (None, "NoneType"),
        (5, "int"),
    ],
)
def test_data_that_cannot_be_read_say_why(data: Any, named: str) -> None:
    assert named in str(refusal(data))


def test_parts_must_look_alike() -> None:
    with pytest.raises(DataError, match="shapes"):
        read_given({"retain": (INPUTS, LABELS), "forget": (INPUTS[..., :2], LABELS)}, torch.float32, 0, runtime())
    with pytest.raises(DataError, match="uint8"):
        read_given({"retain": (INPUTS.byte(), LABELS), "forget": (INPUTS, LABELS)}, torch.float32, 0, runtime())


# --------------------------------------------------------------------------------------------------------- duplicates


def test_duplicates_are_counted_by_content() -> None:
    images = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(12, dtype=torch.int64)
    given: dict[str, Data] = {
        "retain": (images[:8], labels[:8]),
        "forget": (torch.cat([images[[7, 2]], images[8:]]), labels[:6] + 1),
        "val": (images[[3, 3, 8]], labels[:3]),
    }
    said = read_given(given, torch.float32, 0, runtime()).shared
    assert [one.split(" (")[0] for one in said] == [
        "2 of the 6 samples of forget are also in retain",
        "2 of the 3 samples of val are also in retain",
        "1 of the 3 samples of val are also in forget",
    ]
    assert not read_given({"retain": (INPUTS, LABELS), "forget": (-INPUTS, LABELS)}, torch.float32, 0, runtime()).shared
