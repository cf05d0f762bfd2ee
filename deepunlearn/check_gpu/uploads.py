"""Batches that are copied to the device one by one against those of images that lie there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from deepunlearn.check_gpu.part import Outcome, Part, judged
from deepunlearn.check_gpu.where import Where
from deepunlearn.testing.small import dataset, parts

SAMPLES, BATCH, PASSES = 512, 64, 10
BUSY = 4096  # rows of the matrices that keep a device busy while batches are copied to it
NO_PINNED = "memory is pinned for copies to a CUDA device"
Batch = tuple[Tensor, Tensor]


def listed(where: Where) -> Iterator[Part]:
    yield Part("uploads/one by one", partial(uploads, where, busy=False))
    yield Part("uploads/pinned, device busy", partial(uploads, where, busy=True), "" if where.on_gpu else NO_PINNED)


def uploads(where: Where, *, busy: bool) -> Outcome:
    """All bits are equal, and the augmented images are the CPU's up to the rounding of normalisation.

    busy: the device has a queue of work when a copy is asked for, so that it happens after the host has gone on.
    """
    device = where.runtime().device
    load = torch.ones(BUSY, BUSY, device=device) if busy else None
    copied, unequal, apart = 0, 0, 0.0
    for seed in range(PASSES):
        for one, other, cpu in zip(
            _batches(device, 1.0, seed, load), _batches(device, 1e9, seed), _batches(torch.device("cpu"), 1e9, seed),
            strict=True,
        ):  # fmt: skip
            copied += 1
            unequal += not all(map(torch.equal, one, other))
            apart = max(apart, float((one[0].cpu() - cpu[0]).abs().max()), float(not torch.equal(one[1].cpu(), cpu[1])))
    figures = {"batches": str(copied), "unequal": str(unequal), "from the CPU's": f"{apart:.1e}", "limit": "1e-06"}
    return judged(unequal == 0 and apart <= 1e-6, "", figures)


def _batches(device: torch.device, budget: float, seed: int, load: Tensor | None = None) -> list[Batch]:
    """Of an augmented pass; memory-mapped images where they take more bytes than `budget`.

    All of them are kept: memory that is given back too early would be overwritten by a later batch.
    """
    part = parts(dataset(crop_padding=4, flip=True), device=device, budget=budget, train=SAMPLES, test=16)["train"]
    kept = []
    for batch in part.batches(BATCH, torch.Generator().manual_seed(seed), augment=True):
        kept.append(batch)
        if load is not None:
            torch.mm(load, load)
    return kept
