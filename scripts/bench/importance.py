"""Squared gradients of single samples, summed: what SSD, SFRon and FF measure the importance of weights by.

A: every sample's gradient of every weight by vmap; B: ours, from one ordinary pass where the network allows it
(`ops/gradient_powers.py`). A / B is how many times faster ours is. One chunk of samples in evaluation mode, as large as
fits the memory that gradients may take. Both add up the same to rounding.
"""

from __future__ import annotations

import torch.nn.functional as F
from common import Options, Row, Taken, command_of, experiment_of
from torch import Tensor, nn

from deepunlearn.instruments.turns import Task, turns
from deepunlearn.ops.gradient_powers import PowerSums
from deepunlearn.ops.per_sample import chunk_size, parameters_of

CASES = (("resnet18", "ResNet18"), ("tinyvit", "TinyViT"), ("smallnet", "SmallNet"))
REPEATS = 9


def rows(options: Options) -> list[Row]:
    return [_row(options, *case) for case in CASES]


def _row(options: Options, arch: str, title: str) -> Row:
    experiment = experiment_of(command_of(options, options.size(1000, 150), f"arch={arch}"))
    model = experiment.fresh_model(0).eval()
    samples = options.size(chunk_size(parameters_of(model)), 4)
    x, y = next(experiment.split_data(0).parts["retain"].batches(samples))
    tasks = {"each": _sums(model, x, y, by_layer=False), "ours": _sums(model, x, y, by_layer=True)}
    taken = turns(options.size(REPEATS, 2), tasks)
    each, ours = (Taken(label, taken[name], len(y)) for name, label in (("each", "vmap"), ("ours", "ours")))
    return Row(f"{title}, {len(y)} samples", each, ours)


def _sums(model: nn.Module, x: Tensor, y: Tensor, *, by_layer: bool) -> Task:
    sums = PowerSums(model, parameters_of(model), F.cross_entropy, 2)
    if not by_layer:
        sums._by_layer = []
    return lambda: sums.add(x, y)
