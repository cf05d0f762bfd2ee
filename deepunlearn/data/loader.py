"""Batches without workers: images stay on the device as uint8, a batch is indexed, augmented and normalised there.

The rows of a table are float32 as they were decoded, and served as they are: there is nothing to augment.

Shuffling and augmentation are drawn from a CPU generator, so that every device sees the same samples in the same
order with the same crops; the arithmetic on them is exact up to the two roundings of normalisation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.core.batches import blocks, training_batches
from deepunlearn.core.errors import DataError
from deepunlearn.core.samples import Indices
from deepunlearn.core.schema import CHANNELS, DatasetConfig
from deepunlearn.core.split import Split
from deepunlearn.data.decoded import Arrays, Decoded
from deepunlearn.kernels.choice import layout

STATISTICS_BLOCK = 1024  # images squared at a time


class ResidentData:
    """The images, or a table's rows, of `rows` with their labels, to be gathered in any order.

    Resident: one tensor on `device`, uint8 [N, C, S, S] or float32 [N, D]. Otherwise they stay memory-mapped on the
    host and each gathered batch is copied to `device`; the results are the same.
    """

    def __init__(
        self,
        images: Arrays,
        labels: npt.NDArray[np.int64],
        rows: Indices,
        device: torch.device,
        resident: bool,
    ) -> None:
        self.device, self.resident = device, resident
        self.shape = images.shape[1:]
        self.labels = torch.from_numpy(labels[rows]).to(device)
        self._mapped, self._rows = images, rows
        self._tensor = torch.from_numpy(images[rows]).to(device) if resident else None

    @property
    def index_device(self) -> torch.device:
        """Where `gather` wants its positions."""
        return self.device if self.resident else torch.device("cpu")

    def gather(self, positions: Tensor) -> Tensor:
        """uint8 [B, C, S, S] or float32 [B, D] on the device; `positions`: int64 [B], rows, on `index_device`."""
        if self._tensor is not None:
            return self._tensor.index_select(0, positions)
        return _uploaded(torch.from_numpy(self._mapped[self._rows[positions.numpy()]]), self.device)


def _uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on the device; to an accelerator by way of pinned memory, so that the host need not wait."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None and device.type == accelerator.type:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass(frozen=True, eq=False)
class Draws:
    """The random part of augmentation for N samples: crop offsets `down`, `right` in [0, 2 padding], `flip` (bool)."""

    down: Tensor
    right: Tensor
    flip: Tensor

    def __getitem__(self, part: slice) -> Draws:
        return Draws(self.down[part], self.right[part], self.flip[part])


class Transform:
    """Augmentation and normalisation of a whole batch; `mean` and `std` have one value per channel (or one for all)."""

    def __init__(self, config: DatasetConfig, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device):
        self.padding, self.flips, self.device = config.crop_padding, config.flip, device
        self.mean, self.std = (torch.tensor(values).view(1, -1, 1, 1).to(device) for values in (mean, std))

    @property
    def pixel_std(self) -> Tensor:
        """[1, C, 1, 1]: how much of a pixel's range [0, 1] one unit of a normalised image is."""
        return self.std

    @property
    def pixel_bounds(self) -> tuple[Tensor, Tensor]:
        """Black and white as they are in normalised images, [1, C, 1, 1] each."""
        return -self.mean / self.std, (1 - self.mean) / self.std

    def draw(self, samples: int, generator: torch.Generator) -> Draws | None:
        """Independent draws per sample from a CPU generator; None where this dataset is not augmented."""
        if not (self.padding or self.flips):
            return None
        down, right = torch.randint(0, 2 * self.padding + 1, (2, samples), generator=generator)
        flip = torch.randint(0, 2, (samples,), generator=generator) * self.flips == 1
        return Draws(*(_uploaded(drawn, self.device) for drawn in (down, right, flip)))

    def augment(self, images: Tensor, draws: Draws) -> Tensor:
        """Crop uint8 [B, C, S, S] out of its black-padded self and mirror it: pixel rows, then columns, by index."""
        padded = F.pad(images, (self.padding,) * 4)
        samples, channels, height, width = padded.shape
        size = images.shape[-1]
        steps = torch.arange(size, device=images.device)
        rows = draws.down[:, None] + steps
        columns = draws.right[:, None] + torch.where(draws.flip[:, None], size - 1 - steps, steps)
        planes = torch.arange(samples * channels, device=images.device).view(samples, channels, 1) * height
        chosen = padded.view(-1, width).index_select(0, (planes + rows[:, None]).view(-1))
        chosen = chosen.view(samples, channels, size, width)
        return chosen.gather(3, columns[:, None, None].expand(samples, channels, size, size))

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, C, S, S] to float32 [B, 3, S, S]: (x / 255 - mean) / std, rounded at each step."""
        grey_or_rgb = images.expand(-1, CHANNELS, -1, -1)
        pixels = grey_or_rgb.to(torch.float32, memory_format=layout(images.device))
        return pixels.div_(255).sub_(self.mean).div_(self.std)


class GivenData:
    """Inputs that are as the model takes them: nothing is normalised. Offers what `Part` needs of `ResidentData`."""

    def __init__(self, inputs: Tensor, labels: Tensor, device: torch.device) -> None:
        """inputs: [N, ...]; labels: int64 [N]."""
        self.device = self.index_device = device
        self.shape = tuple(inputs.shape[1:])
        self.labels = labels.to(device)
        self._inputs = inputs.to(device)

    def gather(self, positions: Tensor) -> Tensor:
        """The inputs at `positions`."""
        return self._inputs.index_select(0, positions)


class BesideData:
    """The samples of a part and, behind them, inputs that are as the model takes them. Offers what `Part` needs."""

    index_device = torch.device("cpu")

    def __init__(self, part: Part, inputs: Tensor, labels: Tensor) -> None:
        """inputs: [N, ...] like a batch of `part`; labels: int64 [N]; both on its device."""
        self.device, self.shape = part.device, part.shape
        self.labels = torch.cat([part.labels, labels])
        self._part, self._inputs = part, inputs

    def gather(self, positions: Tensor) -> Tensor:
        """The inputs at `positions`, those of the part normalised."""
        own = positions < len(self._part)
        back = torch.cat([own.nonzero(), (~own).nonzero()]).flatten().argsort().to(self.device)
        beside = self._inputs.index_select(0, (positions[~own] - len(self._part)).to(self.device))
        both = torch.cat([self._part.at(positions[own]), beside]).index_select(0, back)
        return both.contiguous(memory_format=layout(self.device)) if both.dim() == 4 else both


class Untransformed:
    """Leaves inputs as they are; there is nothing to augment. For tables, and for what a caller has prepared."""

    pixel_std = pixel_bounds = None  # whether they are images, and in what units, is not known

    def draw(self, samples: int, generator: torch.Generator) -> None:
        """No draws."""

    def normalise(self, images: Tensor) -> Tensor:
        return images


def drawn_batches(samples: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Positions, int64, of the samples in each batch that `Part.batches` serves with a generator in this state."""
    return torch.split(_shuffled(samples, generator), training_batches(samples, batch_size))


def _shuffled(samples: int, generator: torch.Generator) -> Tensor:
    assert generator.device.type == "cpu", "the order must be the same on every device"
    return torch.randperm(samples, generator=generator)


def part_of(data: GivenData, positions: Iterable[int]) -> Part:
    """The samples of `data` at `positions`."""
    return Part(data, torch.tensor(list(positions), dtype=torch.int64), Untransformed())


class Part:
    """Some samples of a dataset, e.g. the forget set: labelled, in a fixed order, served in normalised batches."""

    def __init__(
        self, data: ResidentData | GivenData | BesideData, positions: Tensor, transform: Transform | Untransformed
    ) -> None:
        """`positions`: int64 [N] on the CPU, into the rows of `data`."""
        self._data, self._positions, self._transform = data, positions, transform
        self.labels: Tensor = data.labels[positions.to(data.device)]  # int64 [N] on the device

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def device(self) -> torch.device:
        return self._data.device

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample as it is stored: [C, S, S], or [D] of a table."""
        return self._data.shape

    @property
    def pixel_std(self) -> Tensor | None:
        """[1, C, 1, 1]: how much of a pixel's range [0, 1] one unit of x is; None of tables and of given inputs."""
        return self._transform.pixel_std

    @property
    def pixel_bounds(self) -> tuple[Tensor, Tensor] | None:
        """Black and white in units of x, [1, C, 1, 1] each; None of tables and of given inputs."""
        return self._transform.pixel_bounds

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None, augment: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass of training (x, y), both on the device: x float32 [B, 3, S, S] in channels-last memory, [B, D]
        of a table, y int64 [B].

        Shuffled with `generator` (a CPU one), in order without; everything random is drawn by this call, before the
        first batch. `augment` crops and flips as the dataset says and needs a generator. No batch is so small that it
        would do harm in training mode: a small remainder is spread over the others (core/batches.py).
        """
        return self._pass(training_batches(len(self), batch_size), generator, augment)

    def blocks(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The same for evaluation and for sums over all samples, where nothing is learnt from a block by itself."""
        return self._pass(blocks(len(self), size), generator, augment=False)

    def _pass(
        self, sizes: list[int], generator: torch.Generator | None, augment: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        assert generator is not None or not augment, "augmenting needs a generator"
        if generator is None:
            return self._serve(sizes, torch.arange(len(self)), None)
        order = _shuffled(len(self), generator)
        draws = self._transform.draw(len(self), generator) if augment else None
        return self._serve(sizes, order, draws)

    def joined(self, other: Part) -> Part:
        """This part's samples followed by those of `other`, which is of the same data."""
        assert self._data is other._data, "only parts of the same data can be joined"
        both = Part(self._data, torch.cat([self._positions, other._positions]), self._transform)
        return both.with_labels(torch.cat([self.labels, other.labels]))

    def at(self, positions: Tensor) -> Tensor:
        """x of the samples at `positions`, int64 [B] on the CPU."""
        rows = _uploaded(self._positions[positions], self._data.index_device)
        return self._transform.normalise(self._data.gather(rows))

    def beside(self, inputs: Tensor, labels: Tensor) -> Part:
        """This part's samples followed by others that are in no data: inputs as in its batches, int64 labels [N]."""
        data = BesideData(self, inputs, labels)
        return Part(data, torch.arange(len(data.labels)), Untransformed())

    def with_labels(self, labels: Tensor) -> Part:
        """The same samples with other labels, int64 [N]."""
        assert len(labels) == len(self)
        relabelled = Part(self._data, self._positions, self._transform)
        relabelled.labels = labels.to(self.device)
        return relabelled

    def steps(self, batch_size: int) -> int:
        """The number of batches of one pass of training."""
        return len(training_batches(len(self), batch_size))

    def subset(self, positions: npt.ArrayLike | Tensor) -> Part:
        """The samples at `positions` (integers into this part) in that order."""
        chosen = torch.as_tensor(positions, dtype=torch.int64, device="cpu")
        part = Part(self._data, self._positions[chosen], self._transform)
        return part.with_labels(self.labels[chosen.to(self.device)])

    def positions_in(self, other: Part) -> Tensor:
        """Where this part's samples stand in `other`, int64 [N]; it is of the same data and has them all."""
        assert self._data is other._data, "only parts of the same data can be compared"
        order = other._positions.argsort()
        places = order[torch.searchsorted(other._positions[order], self._positions)]
        assert torch.equal(other._positions[places], self._positions), "a sample is not in the other part"
        return places

    def _serve(self, sizes: list[int], order: Tensor, draws: Draws | None) -> Iterator[tuple[Tensor, Tensor]]:
        positions = _uploaded(self._positions[order], self._data.index_device)
        labels = self.labels[_uploaded(order, self.device)]
        ends = [0, *itertools.accumulate(sizes)]
        for span in itertools.starmap(slice, itertools.pairwise(ends)):
            images = self._data.gather(positions[span])
            if draws is not None:
                assert isinstance(self._transform, Transform)
                images = self._transform.augment(images, draws[span])
            yield self._transform.normalise(images), labels[span]


def make_parts(
    decoded: Decoded, split: Split, config: DatasetConfig, device: torch.device, budget_bytes: float
) -> dict[str, Part]:
    """The parts retain, forget, val, test and train (retain and forget, in the order of the training part).

    Labels are those that training sees: wrong where the split says so. The samples the split uses move to `device`
    where they take at most `budget_bytes` together, and stay memory-mapped otherwise. Mean and standard deviation of
    images come from the config or, if null there, from retain, forget and val; tables were standardised when decoded.
    """
    learnt = np.union1d(split.train, split.val)
    transform = _transform(config, decoded, learnt, device)
    used = np.union1d(learnt, split.test) if split.test_of_train else learnt
    size = len(used) + (0 if split.test_of_train else len(split.test))
    one = decoded.train_images.dtype.itemsize * int(np.prod(decoded.train_images.shape[1:]))
    resident = size * one <= budget_bytes
    labels = split.labels_in_training(decoded.train_labels)
    train = ResidentData(decoded.train_images, labels, used, device, resident)
    members = {"retain": split.retain, "forget": split.forget, "val": split.val, "train": split.train}
    if split.test_of_train:
        members["test"] = split.test
    parts = {
        name: Part(train, torch.from_numpy(np.searchsorted(used, rows)), transform) for name, rows in members.items()
    }
    if split.test_of_train:
        return parts
    test = ResidentData(decoded.test_images, decoded.test_labels, split.test, device, resident)
    return {**parts, "test": Part(test, torch.arange(len(split.test)), transform)}


def _transform(
    config: DatasetConfig, decoded: Decoded, used: Indices, device: torch.device
) -> Transform | Untransformed:
    if config.is_table:
        return Untransformed()
    mean, std = _statistics(config, decoded.train_images, used)
    return Transform(config, mean, std, device)


def _statistics(
    config: DatasetConfig, images: npt.NDArray[np.uint8], rows: Indices
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel of images in [0, 1]. Raises DataError for flat images."""
    if config.mean is None or config.std is None:
        return measured_statistics(images, rows)
    return config.mean, config.std


def measured_statistics(images: npt.NDArray[np.uint8], rows: Indices) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation over all pixels of `rows`, per channel, of images scaled to [0, 1].

    Sums are integers, so that the result is the same on every machine. Raises DataError where a channel is constant.
    """
    total, squares = np.zeros((2, images.shape[1]), dtype=object)
    for start in range(0, len(rows), STATISTICS_BLOCK):
        block = images[rows[start : start + STATISTICS_BLOCK]]
        total = total + block.sum(axis=(0, 2, 3), dtype=np.uint64).astype(object)
        squares = squares + np.square(block, dtype=np.uint32).sum(axis=(0, 2, 3), dtype=np.uint64).astype(object)
    count = len(rows) * images.shape[-1] * images.shape[-2]
    spread = count * squares - total * total  # count^2 x variance, exact: Python integers have no limit
    if not all(spread):
        raise DataError(
            "all images are the same single shade in some channel, so they cannot be normalised",
            given=f"mean per channel {[value / count for value in total]} of 255",
            allowed="images that differ",
            remedy="check the files of the dataset",
        )
    mean = tuple(value / (255 * count) for value in total)
    return mean, tuple(float(np.sqrt(value / count**2)) / 255 for value in spread)
