"""FT against a plain loop."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from deepunlearn.testing.small import model
from tests.methods.oracles import DATA, SEED, PlainSGD, close, cosine, run


def test_ft_trains_on_the_retain_set_and_anneals() -> None:
    original = model()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    for epoch in range(3):
        for x, y in DATA["retain"].batches(32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), cosine(0.05, epoch, 3))
    close(run("ft", original, lr=0.05, weight_decay=0.01, batch_size=32, epochs=3), expected)
