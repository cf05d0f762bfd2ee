"""What callers of the library hand over: read once, checked, and put in an order that the samples alone decide."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from deepunlearn.core.errors import DataError
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.data.loader import GivenData, Part, part_of
from deepunlearn.data.random_sources import seeded_sources
from deepunlearn.runtime import Runtime

Data = Dataset[Any] | DataLoader[Any] | Sequence[Any] | tuple[Tensor, Tensor]
FORMS = "a Dataset of (input, label), a DataLoader over one, a list of such pairs, or a tuple of two tensors"
Pair = tuple[Tensor, Tensor]


class Given(NamedTuple):
    """parts: by name, on one device; shared: a sentence for each two parts that hold the same samples.

    orders: of each part the places of its samples in what was given.
    """

    parts: dict[str, Part]
    shared: list[str]
    orders: dict[str, list[int]]


def read_given(
    given: Mapping[str, Data],
    dtype: torch.dtype,
    seed: int,
    runtime: Runtime,
    *,
    alike: Collection[tuple[str, str]] = (),
) -> Given:
    """All data in one place on the device, so that methods can join parts of it. Raises DataError.

    Inputs of floating point become `dtype`. Whatever is random in reading them follows `seed`. alike: pairs of parts
    that may hold the same samples.
    """
    read = {name: _samples(name, data, dtype, seed, runtime) for name, data in given.items()}
    _check_alike({name: samples.inputs for name, samples in read.items()})
    inputs, labels = (torch.cat([getattr(one, field) for one in read.values()]) for field in ("inputs", "labels"))
    together = GivenData(inputs, labels, runtime.device)
    ends = [0, *itertools.accumulate(len(samples.labels) for samples in read.values())]
    spans = zip(read, itertools.pairwise(ends), strict=True)
    parts = {name: part_of(together, range(*span)) for name, span in spans}
    shared = _shared({name: samples.digests for name, samples in read.items()}, alike)
    return Given(parts, shared, {name: samples.order for name, samples in read.items()})


class _Samples(NamedTuple):
    """inputs [N, ...] and labels int64 [N] on the device, ordered by content; what tells the inputs apart.

    order: the place of each in what was given.
    """

    inputs: Tensor
    labels: Tensor
    digests: list[bytes]
    order: list[int]


def _samples(name: str, data: Data, dtype: torch.dtype, seed: int, runtime: Runtime) -> _Samples:
    with seeded_sources(data, derive_seed32("given data", name, seed), runtime):
        inputs, labels = (tensor.detach() for tensor in _read(name, data))
    _check_values(name, inputs, labels)
    labels = _class_numbers(name, inputs, labels)
    inputs = _finite(name, inputs.to(dtype) if inputs.is_floating_point() else inputs)
    by_digest = sorted(zip(_digests(inputs), labels.tolist(), range(len(labels)), strict=True))
    order = [index for _, _, index in by_digest]
    inputs, labels = inputs[order].to(runtime.device), labels[order].to(runtime.device)
    return _Samples(inputs, labels, [digest for digest, _, _ in by_digest], order)


def _shared(contents: Mapping[str, list[bytes]], alike: Collection[tuple[str, str]]) -> list[str]:
    """Inputs with the same values are the same sample, whatever their labels."""
    faults = []
    for one, other in itertools.combinations(contents, 2):
        if (one, other) in alike:
            continue
        known = set(contents[one])
        if count := sum(digest in known for digest in contents[other]):
            faults.append(
                f"{count} of the {len(contents[other])} samples of {other} are also in {one} (the same input values): "
                f"leave them out of one of the two"
            )
    return faults


def _digests(inputs: Tensor) -> list[bytes]:
    """What tells samples apart by their values."""
    rows = inputs.reshape(len(inputs), -1).cpu().contiguous().numpy()
    return [blake2b(row, digest_size=16).digest() for row in rows]


# ------------------------------------------------------------------------------------------------------------ reading


def _read(name: str, data: Any) -> Pair:
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(item, Tensor | np.ndarray) for item in data):
        return _pair(name, data)
    if isinstance(data, DataLoader):
        single = data.batch_size is None and data.batch_sampler is None
        return _gathered(name, _own_pass(data), torch.stack if single else torch.cat)
    if isinstance(data, IterableDataset):
        return _gathered(name, data, torch.stack)
    if isinstance(data, Dataset | list) or _indexed(data):
        return _gathered(name, (data[index] for index in range(len(data))), torch.stack)
    raise DataError(
        f"cannot read {name}",
        given=_kind_of(data),
        allowed=FORMS,
        remedy=f"give {name}=(inputs, labels)",
    )


def _indexed(data: Any) -> bool:
    """Whether it works as a Dataset without being called one."""
    methods = all(hasattr(data, method) for method in ("__len__", "__getitem__"))
    return methods and not isinstance(data, tuple | str | bytes | Mapping)


def _own_pass(loader: DataLoader[Any]) -> Iterable[Any]:
    """Batches of all samples, from workers of our own: the caller may be in the middle of a pass with theirs.

    A last batch that `drop_last` would leave out belongs to the samples. Loaders that iterate in a way of their own are
    taken as they are.
    """
    if type(loader).__iter__ is not DataLoader.__iter__:
        return loader
    return DataLoader(
        loader.dataset,
        **_batching(loader),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
    )


def _batching(loader: DataLoader[Any]) -> dict[str, Any]:
    if loader.batch_size is None and loader.batch_sampler is not None:
        return {"batch_sampler": loader.batch_sampler}
    if isinstance(loader.dataset, IterableDataset):
        return {"batch_size": loader.batch_size}
    return {"batch_size": loader.batch_size, "sampler": loader.sampler}


def _gathered(name: str, items: Iterable[Any], join: Callable[[list[Tensor]], Tensor]) -> Pair:
    pairs = [_pair(name, item) for item in items]
    if not pairs:
        raise DataError(f"{name} is empty", given="0 items", allowed=FORMS, remedy="give at least one sample")
    inputs, labels = zip(*pairs, strict=True)
    try:
        return join(list(inputs)), join(list(labels))
    except RuntimeError as error:
        batch = 0 if join is torch.stack else 1
        shapes = sorted({(tuple(x.shape[batch:]), tuple(y.shape[batch:])) for x, y in pairs})
        raise DataError(
            f"the items of {name} have different shapes",
            given=", ".join(f"input {x} with label {y}" for x, y in shapes[:5]),
            allowed="one shape",
            remedy="resize or crop the inputs to one size",
        ) from error


def _pair(name: str, item: Any) -> Pair:
    if not isinstance(item, tuple | list) or len(item) != 2:
        many = f", {len(item)} values" if isinstance(item, tuple | list) else ""
        raise DataError(
            f"the items of {name} are not (input, label) pairs",
            given=f"{type(item).__name__}{many}",
            allowed="a tuple of an input tensor and a label",
            remedy="wrap the dataset in one that returns (input, label)",
        )
    try:
        return as_tensor(item[0]), as_tensor(item[1])
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the items of {name} are not numbers",
            given=f"input {_kind_of(item[0])}, label {_kind_of(item[1])}",
            allowed="tensors, arrays or numbers",
            remedy="give the dataset a transform that makes tensors, e.g. torchvision's ToTensor(); number the classes",
        ) from error


def as_tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """As PyTorch's, also of arrays of numpy that are flipped or in the byte order of another machine."""
    if isinstance(value, np.ndarray) and (not value.dtype.isnative or min(value.strides, default=0) < 0):
        value = value.astype(value.dtype.newbyteorder("="), order="C")
    return torch.as_tensor(value, dtype=dtype)


def _kind_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype}"
    if isinstance(value, tuple):
        return f"tuple of {', '.join(type(item).__name__ for item in value[:3])}"
    return type(value).__name__


# ------------------------------------------------------------------------------------------------------------- checks


def _check_values(name: str, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.is_meta or tensor.layout != torch.strided:
            raise DataError(
                f"{name} holds tensors that are not plain arrays of values",
                given=f"{tensor.layout} of {tensor.dtype} on {tensor.device}",
                allowed="dense tensors with values",
                remedy="convert them, e.g. with to_dense()",
            )


def _class_numbers(name: str, inputs: Tensor, labels: Tensor) -> Tensor:
    """int64 [N], none negative. Raises DataError for other labels, with what makes class numbers of them."""
    whole = not (labels.is_floating_point() or labels.is_complex())
    if whole and labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not whole or labels.dim() != 1 or inputs.dim() == 0 or len(inputs) != len(labels) or len(labels) == 0:
        raise DataError(
            f"{name} is not a set of labelled samples",
            given=f"inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)} of {labels.dtype}",
            allowed="inputs [N, ...] and integer labels [N], N at least 1",
            remedy=_relabelling(labels) if len(labels) else f"give at least one sample as {name}",
        )
    labels = labels.long()
    negative = labels[labels < 0]
    if len(negative):
        raise DataError(
            f"{len(negative)} of {len(labels)} labels of {name} are negative",
            given=", ".join(map(str, negative.unique().tolist()[:5])),
            allowed="class numbers from 0",
            remedy="leave samples without a class out; number the classes from 0",
        )
    return labels


def _relabelling(labels: Tensor) -> str:
    if labels.dim() == 2 and labels.shape[1] > 1:
        return "give class numbers instead of one column per class: labels.argmax(1)"
    if labels.is_floating_point() and labels.dim() in (1, 2):
        return "give class numbers as integers: labels.long(), with [:, 0] where they have a second dimension"
    return "check what the dataset returns"


def _finite(name: str, inputs: Tensor) -> Tensor:
    if not inputs.is_floating_point():
        return inputs
    broken = ~torch.isfinite(inputs.reshape(len(inputs), -1)).all(1)
    if broken.any():
        raise DataError(
            f"{int(broken.sum())} of {len(inputs)} inputs of {name} hold values that are not finite",
            given=f"NaN or infinity in {inputs.dtype}, first in input {int(broken.nonzero()[0])} as read",
            allowed="finite values",
            remedy="correct or leave out these samples; look for divisions by zero in how they are prepared",
        )
    return inputs


def _check_alike(inputs: Mapping[str, Tensor]) -> None:
    """Parts are joined, and the model takes one kind of input."""
    kinds = {name: (tuple(values.shape[1:]), values.dtype) for name, values in inputs.items()}
    if len(set(kinds.values())) > 1:
        raise DataError(
            "inputs of different shapes or types",
            given="; ".join(f"{name}: {shape} of {dtype}" for name, (shape, dtype) in kinds.items()),
            allowed="one shape and one type",
            remedy="prepare all parts in the same way, as the model takes them",
        )
