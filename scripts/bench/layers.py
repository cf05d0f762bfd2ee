"""What single layers and the optimiser gain from our ways: why each is taken where it is.

A: torch's own; B: ours, which `kernels/small_maps.py`, `kernels/dense.py`, `kernels/memory_order.py` and
`archs/resnet.py` choose by the size of the maps, the number of images and the processor. Training: forward and
backward. fp32, channels last, hot caches: within a network, layers gain a little less.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from common import Options, Row, Taken, runtime
from torch import Tensor, nn
from torch.nn import functional as F

from deepunlearn.instruments.plain_loop import optimiser, resnet_of_torchvision
from deepunlearn.instruments.turns import Task, turns
from deepunlearn.kernels.dense import dense
from deepunlearn.kernels.small_maps import SmallMapConv2d, use_small_maps
from deepunlearn.ops.optim import sgd

CONVOLUTIONS = (  # of ResNet18 at 32x32: channels in, out, kernel, stride; size of the map
    ((512, 512, 3, 1), 1),
    ((256, 512, 3, 2), 2),
    ((256, 256, 3, 1), 2),
    ((128, 256, 3, 2), 4),
    ((256, 512, 1, 2), 2),
    ((128, 256, 1, 2), 4),
)
DENSE = ((4096, 128, 384), (256, 256, 1024), (256, 1024, 1024), (128, 256, 1024))  # rows, channels in, out
BATCHES = (64, 256)

Layer = Callable[[Tensor], Tensor]


def rows(options: Options) -> list[Row]:
    runtime()
    repeats = options.size(25, 1)
    rows = []
    for (layer, size), batch in product(CONVOLUTIONS, BATCHES):
        rows += _convolution(layer, size, batch, repeats)
    for count, channels, outputs in DENSE:
        rows += _dense(count, channels, outputs, repeats)
    return [*rows, *(_stem(batch, repeats) for batch in BATCHES), *_optimisers(repeats)]


def _convolution(layer: tuple[int, int, int, int], size: int, batch: int, repeats: int) -> list[Row]:
    channels, outputs, kernel, stride = layer
    plain, ours = (
        nn.Conv2d(*layer, padding=kernel // 2, bias=False).to(memory_format=torch.channels_last) for _ in range(2)
    )
    use_small_maps(ours)
    assert type(ours) is SmallMapConv2d
    ours.load_state_dict(plain.state_dict())
    title = f"{kernel}x{kernel}, {channels} to {outputs}, map {size}x{size}, stride {stride}, batch {batch}"
    return _both(title, _maps(batch, channels, size), plain, ours, repeats)


def _dense(count: int, channels: int, outputs: int, repeats: int) -> list[Row]:
    weight = nn.Parameter(torch.randn(outputs, channels))
    rows = torch.randn(count, channels).requires_grad_()
    title = f"dense, {channels} to {outputs}, {count} rows"
    return _both(title, rows, lambda x: F.linear(x, weight), lambda x: dense(x, weight), repeats)


def _stem(batch: int, repeats: int) -> Row:
    """ReLU before or after ResNet18's max pooling."""
    maps = _maps(batch, 64, 16)
    before = _training(lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), maps)
    after = _training(lambda x: F.relu(F.max_pool2d(x, 3, 2, 1)), maps)
    taken = turns(repeats, {"before": before, "after": after})
    return Row(f"ReLU and max pooling, training, batch {batch}", Taken("ReLU first", taken["before"]),
               Taken("pooling first", taken["after"]))  # fmt: skip


def _optimisers(repeats: int) -> list[Row]:
    """One step over ResNet18's weights, channels last."""
    model = resnet_of_torchvision().to(memory_format=torch.channels_last)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    ways = {"foreach": optimiser(model), "fused": optimiser(model, "fused")}
    ways["ours"] = sgd(model.parameters(), lr=1e-6, weight_decay=5e-4)
    taken = turns(repeats, {name: way.step for name, way in ways.items()})
    ours = Taken("ours", taken["ours"])
    return [
        Row("SGD over ResNet18's weights", Taken(f"torch, {way}", taken[way]), ours) for way in ("foreach", "fused")
    ]


def _both(title: str, maps: Tensor, plain: Layer, ours: Layer, repeats: int) -> list[Row]:
    torch.testing.assert_close(ours(maps), plain(maps), rtol=1e-3, atol=1e-3)
    kinds = {"training": _training, "evaluation": _evaluation}
    rows = []
    for kind, task in kinds.items():
        taken = turns(repeats, {"plain": task(plain, maps), "ours": task(ours, maps)})
        rows.append(Row(f"{title}, {kind}", Taken("torch", taken["plain"]), Taken("ours", taken["ours"])))
    return rows


def _maps(batch: int, channels: int, size: int) -> Tensor:
    return torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last).requires_grad_()


def _training(layer: Layer, maps: Tensor) -> Task:
    output = layer(maps)
    direction = torch.randn_like(output)
    return lambda: layer(maps).backward(direction)


def _evaluation(layer: Layer, maps: Tensor) -> Task:
    def evaluate() -> None:
        with torch.inference_mode():
            layer(maps)

    return evaluate
