"""Unlearned models of a device against those of the CPU: every method, on three networks, as small as it gets.

Both draw the same random numbers (`DrawnOnCpu`). How far apart two right devices may be depends on the method: where a
choice hangs on a threshold, or an adversarial example on a sign, a rounding error makes another model. So the reference
is run a second time, on weights that differ in their last bit, and that difference is the measure of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from timm.layers import DropPath
from torch import nn

from deepunlearn.check_gpu.part import Outcome, Part, judged
from deepunlearn.check_gpu.where import Where, full_precision, reference
from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.instruments.draws import DrawnOnCpu
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute
from deepunlearn.runtime import Runtime
from deepunlearn.testing.small import (
    ARCHS,
    difficulty_of,
    make_problem,
    original_of,
    parts,
    quick_params,
    recorded_of,
    shards_of,
)
from deepunlearn.training import predict

Logits = npt.NDArray[np.float32]
SAMPLES, TEST, BATCH, SEED = 60, 12, 16, 3
# Of the difference in fp32. ResNet18's last maps are 1x1: batch normalisation over a small batch magnifies rounding.
LIMITS = {"smallnet": 1e-4, "resnet18": 5e-2, "tinyvit": 1e-3}
NUDGES = 2  # runs on the CPU on weights that differ in their last bit
ROUNDING = 30.0  # or so many times what the last bit of the weights does on the CPU, if that is more
MOST = 1.0  # as far apart as logits that have nothing to do with each other, nearly
GRAPHS = ("ft", "cfk", "ngplus")  # in training mode, with frozen layers, in evaluation mode
NO_GRAPHS = "CUDA graphs are of CUDA devices"
WAYS = ("CPU, last bit", "fp32", "limit", "bf16")  # columns


def listed(where: Where) -> Iterator[Part]:
    """A part for each network and method, and compiled ones."""
    methods = {name: method for name, method in method_configs().items() if not method.steps}
    for arch in ARCHS:
        yield from (
            Part(f"agreement/{arch}/{name}", partial(compared, where, arch, method)) for name, method in methods.items()
        )
    lacks = "" if where.on_gpu else NO_GRAPHS
    for arch in ARCHS:
        yield from (
            Part(f"graphs/{arch}/{name}", partial(graphs, where, arch, methods[name], "cudagraphs"), lacks)
            for name in GRAPHS
        )


def compared(where: Where, arch: str, method: MethodConfig) -> Outcome:
    """fp32 within its limit of the CPU's, and bf16 finite: how far that is from fp32 depends on the method."""
    expected = unlearned(method, arch, reference())
    nudged = max(difference(unlearned(method, arch, reference(), nudge), expected) for nudge in range(NUDGES))
    fp32 = difference(unlearned(method, arch, where.runtime()), expected)
    bf16 = difference(unlearned(method, arch, where.runtime(precision="bf16")), expected)
    limit = min(max(LIMITS[arch], ROUNDING * nudged), MOST)
    figures = dict(zip(WAYS, map(shown, (nudged, fp32, limit, bf16)), strict=True))
    return judged(fp32 <= limit and np.isfinite(bf16), "", figures)


def graphs(where: Where, arch: str, method: MethodConfig, backend: str) -> Outcome:
    """A compiled network against an eager one on the device; without drop path, whose draws graphs make elsewhere."""
    eager = unlearned(method, arch, where.runtime(), same_draws=False, noisy=False)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = unlearned(method, arch, where.runtime(compile=backend), same_draws=False, noisy=False)
    built = int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    torch._dynamo.reset()
    apart = difference(compiled, eager)
    figures = {"graphs": str(built), "difference": shown(apart), "limit": shown(LIMITS[arch])}
    return judged(apart <= LIMITS[arch] and built > 0, "" if built else "nothing was compiled", figures)


def unlearned(
    method: MethodConfig,
    arch: str,
    here: Runtime,
    nudge: int | None = None,
    *,
    same_draws: bool = True,
    noisy: bool = True,
) -> Logits:
    """Logits [N, K] on all samples of what a method makes of a network in an epoch.

    nudge: of a network every second of whose weights, from this one on, differs in its last bit; same_draws: random
    numbers are those of the CPU on every device; noisy: layers that drop something do so.
    """
    with here.visit(torch.float32), full_precision(), DrawnOnCpu() if same_draws else nullcontext():
        data = parts(train=SAMPLES, test=TEST, device=here.device)
        original = original_of(arch, method.needs, here)
        if nudge is not None:
            _nudge(original, nudge)
        if not noisy:
            _keep_paths(original)
        shards = method.needs == "shards"
        recorded = shards_of(original, data, here) if shards else recorded_of(original, method.needs)
        hard = difficulty_of(data["forget"], method.needs)

        def problem_of(generator: torch.Generator) -> Problem:
            return make_problem(original, arch, generator, data, here, recorded=recorded, difficulty=hard)

        params = quick_params(method, epochs=1, batch_size=BATCH)
        made, _ = execute(make_method(method, params), problem_of, here, SEED)
        return predict(made, data["train"], here)


@torch.no_grad()
def _nudge(model: nn.Module, first: int) -> None:
    """Every second weight of each tensor, from `first` on, becomes the next larger number that fp32 has."""
    for weight in model.parameters():
        values = weight.flatten()
        values[first::2] = torch.nextafter(values[first::2], torch.full_like(values[first::2], torch.inf))
        weight.copy_(values.view(weight.shape))


def _keep_paths(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0


def difference(one: Logits, other: Logits) -> float:
    """Of logits, as a share of their size (root mean squares); not a number where one is not finite."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def shown(value: float) -> str:
    return f"{value:.1e}"
