"""A method that notes what it was given, then trains on the retain set for two epochs and looks once at its error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Method, Problem
from tests.witness import numbers_of

YAML = """\
# notes what it is given
name: watcher
version: 1
title: Watcher
paper: none
reads: [retain, forget, val]
epoch_cost: 1.0
space:
  lr: {type: float, role: lr, default: 0.01, low: 1e-3, high: 1e-1, log: true, gt: 0, help: learning rate}
  epochs: {type: int, role: epochs, default: 2, ge: 1, searched: false, help: epochs over the retain set}
"""
CODE = """\
from tests.watcher import Watcher
class Mine(Watcher):
    lr: float
    epochs: int
"""


@dataclass(frozen=True)
class Given:
    """What a run was handed. Parts: (number, label) of each sample, sorted."""

    retain: list[tuple[int, int]]
    forget: list[tuple[int, int]]
    val: list[tuple[int, int]]
    original: dict[str, Tensor]
    model: dict[str, Tensor]
    apart: bool  # whether the working copy is another network than the original
    generator: tuple[float, ...]
    everybodys: tuple[float, ...]


GIVEN: list[Given] = []


class Watcher(Method):
    """Source: none. Searched: lr."""

    lr: float
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        GIVEN.append(given(problem))
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr))
        for epoch in range(self.epochs):
            for batch in problem.batches(problem.retain, 16):
                step(*batch)
            if epoch == 0:
                problem.error(problem.val)
            yield


def given(problem: Problem) -> Given:
    apart = problem.model is not problem.original
    states = [
        {name: value.clone() for name, value in net.state_dict().items()} for net in (problem.original, problem.model)
    ]
    parts = [samples(part) for part in (problem.retain, problem.forget, problem.val)]
    drawn = [tuple(torch.rand(3, generator=generator).tolist()) for generator in (problem.generator, None)]
    return Given(*parts, *states, apart, *drawn)


def samples(part: Part) -> list[tuple[int, int]]:
    pairs = [pair for x, y in part.batches(16) for pair in zip(numbers_of(x), y.tolist(), strict=True)]
    return sorted(pairs)
