"""Small originals with a record of their training, for tests of methods that need one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.core.schema import TrainConfig
from deepunlearn.learning import Recorded, Updates, affected_batches
from deepunlearn.running import Run, execute
from deepunlearn.testing.small import make_problem, model, parts, runtime
from deepunlearn.training import train

PARTS = parts()
TRAINED_ON = PARTS["train"].subset(range(32))


def learnt(arch: str = "smallnet", *, batch_size: int, epochs: int, forgotten: list[int]) -> tuple[nn.Module, Recorded]:
    """An original trained on 32 samples, and the record for these of them."""
    recipe = TrainConfig(epochs=epochs, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=batch_size)
    net = model(arch)
    affected = affected_batches("id", recipe, len(TRAINED_ON), torch.tensor(forgotten))
    watch = Updates(net, affected, runtime())
    train(net, TRAINED_ON, recipe, runtime(), "id", watch=watch)
    counts = sum(map(len, affected)), sum(map(sum, affected))
    return net.requires_grad_(False).eval(), Recorded(watch.sums, *counts, update_bytes=1000)


def unlearned_by(
    name: str,
    original: nn.Module,
    recorded: Recorded | None,
    arch: str = "smallnet",
    *,
    frozen: frozenset[str] = frozenset(),
    seed: int = 0,
    **params: Any,
) -> tuple[nn.Module, Run]:
    method, here = method_configs()[name], runtime()
    return execute(
        make_method(method, method.complete(params)),
        lambda generator: make_problem(original, arch, generator, PARTS, here, frozen=frozen, recorded=recorded),
        here,
        seed,
    )
