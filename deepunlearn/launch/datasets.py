"""What a plan says of the data: images or rows per part and class, what was not read, what was done to them, copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from deepunlearn.core.schema import DatasetConfig
from deepunlearn.core.split import Split
from deepunlearn.data.copies import shared
from deepunlearn.data.decoded import Digest
from deepunlearn.data.endings import counted
from deepunlearn.launch.plan import Planner
from deepunlearn.metrics.counted import UNSEEN, Counted, too_few

REMARKS = {
    "turned": "images turned upright, as their EXIF orientation says",
    "blended": "images with transparent pixels, put on {background} (dataset.background)",
    "frames": "images with several frames, of which the first is read",
    "cut": "images with 16 bits per channel, of which the upper 8 are read",
    "incomplete": "rows that are left out, as values are missing (dataset.missing=drop)",
    "filled": "rows with missing values, filled with the mean of the training part (dataset.missing=mean)",
    "unseen": "test rows with a category that no training row has",
}
WARNINGS = frozenset({"frames", "cut", "unseen"})  # where something of an image is lost
COPIES = {
    "in test": "training {what}s that are in the test part too",
    "repeated": "training {what}s that are equal to an earlier one",
    "other labels": "{what}s whose label is not that of the first {what} equal to them",
}
SHARED = {
    "forget": "forget samples with a copy among the retained, so that nobody can tell whether they were forgotten",
    "val": "validation samples with a copy that is trained on, which the search takes for never seen",
    "test": "test samples with a copy that is trained on, which the attack takes for never seen",
}


def dataset_lines(planner: Planner) -> Iterator[str]:
    """Of each dataset, with each of its forget sets; of one whose files are missing only sizes are known."""
    cells: dict[DatasetConfig, dict[str, int]] = {}
    for number, cell in enumerate(planner.sweep.cells):
        cells.setdefault(cell.dataset, {}).setdefault(cell.forget.spelling, number)
    for config, numbers in cells.items():
        data = planner.data(next(iter(numbers.values())))
        missing = config.name in planner.missing
        yield f"  {config.name}: {'as published' if missing else sizes(data)}"
        for spelling, number in numbers.items():
            yield from (f"    {line}" for line in _divided(planner, number, spelling if len(numbers) > 1 else ""))
        yield from (f"    {line}" for line in (() if missing else notes(config, data)))


def _divided(planner: Planner, cell: int, forget: str) -> Iterator[str]:
    """The parts of one forget set, and what copies of images do to them. forget: its name, where there are several."""
    split = ", ".join(f"{name} {size:,}" for name, size in planner.sizes(cell).items())
    splits, data = len(planner.splits(cell).seeds), planner.data(cell)  # none where the split is not known yet
    yield f"{'of these' if splits <= 1 else 'of each model'}{forget and f', {forget}'}: {split}"
    if splits == 1 and data.hashes is not None:
        yield from _shared(planner, cell, data)
    if splits == 1 and planner.sweep.cells[cell].forget.scored:
        yield from _attacked(planner.splits(cell).of(0))


def _attacked(split: Split) -> Iterator[str]:
    """Which samples the attack compares the forgotten ones with, where these are not all, or too few."""
    counted, of = Counted.of(split), split.sizes
    looked_at = {part: len(counted.attacked(part, getattr(split, part))) for part in UNSEEN}
    if counted.unseen:
        yield (
            f"the attack compares the forgotten samples with {looked_at['test']:,} of {of['test']:,} test samples, in "
            f"the search with {looked_at['val']:,} of {of['val']:,} validation samples: those that are like them"
        )
    yield from split.remarks
    if why := too_few(of["forget"], looked_at["test"], "test"):
        yield f"warning: {why}; scores have none"
    if why := too_few(of["forget"], looked_at["val"], "val"):
        yield f"warning: {why}; the search goes by the losses on retain, forget and validation set alone"


def sizes(data: Digest) -> str:
    """How many images or rows there are, and of which classes fewest and most."""
    train, test = data.train_labels, data.test_labels
    return (
        f"{len(train):,} training and {len(test):,} test {_what(data)}s, {len(data.class_names)} classes; "
        f"per class {_range(data.class_names, train)} in training, {_range(data.class_names, test)} in test"
    )


def _what(data: Digest) -> str:
    return "image" if data.features is None else "row"


def _range(names: tuple[str, ...], labels: npt.NDArray[np.int64]) -> str:
    counts = np.bincount(labels, minlength=len(names))
    low, high = int(counts.argmin()), int(counts.argmax())
    if counts[low] == counts[high]:
        return f"{counts[low]:,}"
    return f"{counts[low]:,} ({names[low]}) to {counts[high]:,} ({names[high]})"


def notes(config: DatasetConfig, data: Digest) -> Iterator[str]:
    """What a user may not expect, one line each."""
    if data.left_out:
        yield f"not read: {counted(data.left_out)}"
    for kind, remark in data.remarks.items():
        text = REMARKS[kind].format(background=config.background)
        yield _line(text, remark["count"], remark["examples"], warning=kind in WARNINGS)
    absent = np.setdiff1d(data.train_labels, data.test_labels)
    if len(absent):
        yield f"warning: no test {_what(data)} of {', '.join(data.class_names[label] for label in absent[:10])}"
    yield from _copies(config, data)


def _line(text: str, count: int, examples: Sequence[str], *, warning: bool) -> str:
    more = ", ..." if count > len(examples) else ""
    return f"{'warning: ' if warning else ''}{text}: {count:,} ({', '.join(examples)}{more})"


def _copies(config: DatasetConfig, data: Digest) -> Iterator[str]:
    copies = {kind: one for kind, one in data.copies.items() if one.count}
    dropped = config.duplicates == "drop"
    for kind, one in copies.items():
        pairs = [" = ".join(pair) for pair in one.examples]
        yield _line(
            COPIES[kind].format(what=_what(data)), one.count, pairs, warning=not dropped or kind == "other labels"
        )
    if copies and dropped:
        yield f"training {_what(data)}s that take no part (dataset.duplicates=drop): {len(data.dropped):,}"
    elif copies:
        yield f"dataset.duplicates=drop leaves these training {_what(data)}s out, dataset.duplicates=error refuses them"


def _shared(planner: Planner, cell: int, data: Digest) -> Iterator[str]:
    assert data.hashes is not None
    counts, of = shared(planner.splits(cell).of(0), *data.hashes), planner.sizes(cell)
    yield from (f"warning: {text}: {counts[name]:,} of {of[name]:,}" for name, text in SHARED.items() if counts[name])
