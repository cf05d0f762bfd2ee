"""What the oracles of CF-k and EU-k share: training of the last blocks alone."""

from __future__ import annotations

import torch
from torch import nn

from deepunlearn.data.loader import Part
from tests.methods.oracles import SEED, PlainSGD, State, mean_cross_entropy

PARAMS = {"lr": 0.02, "weight_decay": 0.2, "batch_size": 16, "epochs": 20, "decay": 0.5, "k": 1}
TRAINED = [(1, ("block2", "head")), (2, ("block1", "block2", "head"))]  # k, and what of the small network it trains


def rate_at(epoch: int) -> float:
    """20 epochs: the milestones are 10, 16 and 18, each in force from the epoch after it."""
    return 0.02 * (0.5 if epoch > 10 else 1.0) * (0.5 if epoch > 16 else 1.0) * (0.5 if epoch > 18 else 1.0)


def last_blocks_expected(
    net: nn.Module, data: Part, trained: tuple[str, ...], towards: State | None = None
) -> nn.Module:
    """`net` after training of the modules `trained`, with decay towards 0 or the given weights."""
    net.eval()
    for name in trained:
        net.get_submodule(name).train()
    moving = {name for name, _ in net.named_parameters() if name.split(".")[0] in trained}
    generator, optimizer = torch.Generator().manual_seed(SEED), PlainSGD(net, 0.2, names=moving, towards=towards)
    for epoch in range(20):
        for x, y in data.batches(16, generator):
            optimizer.step(mean_cross_entropy(net(x), y), rate_at(epoch))
    return net
