"""Convolutions on small maps as dense products without padding: same parameters, same function up to rounding.

On maps of at most 2x2 pixels most of the nine taps of a 3x3 convolution only ever meet zero padding: a 1x1 map sees the
centre tap alone, on a 2x2 map every output sees all inputs. So output = flattened map x a matrix gathered from the taps
that can touch data (`small_map_conv`); the gradient of untouched taps is zero, as before. With a stride of 2, maps of
up to 4x4 have so few outputs that each can be a product of its own (`windows_conv`), and a 1x1 convolution is a dense
layer on every other pixel (`visited_pixels_conv`).

What each gains is in results/bench/layers.md (`python scripts/bench/run.py layers`). The 2x2 map with stride 1 gathers
16 taps from 9, whatever the batch: that loses on a single image (0.4), also under vmap over samples, and breaks even at
about 16 images; hence `GATHER_FROM`. Per-sample gradients of ResNet18 (vmap) come out 1.9 times as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from deepunlearn.kernels import switch
from deepunlearn.kernels.dense import ROWS_FROM, dense

LARGEST = 2  # pixels; on 4x4 maps the matrix of all pairs of pixels costs more than the convolution
LARGEST_STRIDED = 4  # pixels, of what a stride of 2 makes small
GATHER_FROM = 16  # images; with fewer, gathering a matrix for several output pixels costs more than it saves

Case = tuple[int, int, int]  # input height, input width, stride


class SmallMapConv2d(nn.Conv2d):
    """An `nn.Conv2d` with short ways for small maps: 3x3, padding 1, stride 1 or 2; or 1x1, stride 2.

    (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride)), channels_last if the input is. Nothing derived from the
    weights is kept between calls, so changing them in place is safe. Only on the CPU: on an accelerator the gathering
    would be more kernels to launch, so the ordinary convolution runs there, and wherever the switch is off.
    """

    def forward(self, input: Tensor) -> Tensor:
        batch = input.ndim == 4 and switch.in_use(input.device)
        way = self._short_way(*input.shape) if batch else None
        if way is None:
            return super().forward(input)
        output = way(input, self.weight, self.stride[0])
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]

    def _short_way(self, count: int, channels: int, height: int, width: int) -> ShortWay | None:
        size, stride = max(height, width), self.stride[0]
        if self.kernel_size == (1, 1):
            return visited_pixels_conv if size <= LARGEST_STRIDED else None
        if size <= LARGEST:
            return small_map_conv if size <= stride or count >= GATHER_FROM else None
        return windows_conv if size <= LARGEST_STRIDED and stride == 2 and count >= ROWS_FROM else None


def use_small_maps(model: nn.Module) -> None:
    """Turn, in place, the convolutions of `model` that `SmallMapConv2d` can stand for into such.

    Modules and parameters stay the same objects, state-dict keys the same names.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = SmallMapConv2d


def _fits(conv: nn.Conv2d) -> bool:
    if (conv.dilation, conv.groups, conv.padding_mode) != ((1, 1), 1, "zeros"):
        return False
    if (conv.kernel_size, conv.padding) == ((1, 1), (0, 0)):
        return conv.stride == (2, 2)
    return (conv.kernel_size, conv.padding) == ((3, 3), (1, 1)) and conv.stride in ((1, 1), (2, 2))


def small_map_conv(maps: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv2d(maps, weight, None, stride, padding=1)` for maps (N, C, H, W) with H, W <= 2, weights (O, C, 3, 3)."""
    count, channels, height, width = maps.shape
    rows, columns = _outputs(height, stride), _outputs(width, stride)
    # Channels innermost throughout: with channels_last maps and weights only the gathered taps are copied.
    by_tap = weight.permute(0, 2, 3, 1).reshape(-1, 9, channels)
    matrix = by_tap.index_select(1, _TAPS[height, width, stride]).reshape(-1, height * width * channels)
    output = dense(maps.permute(0, 2, 3, 1).reshape(count, -1), matrix).reshape(count, -1, rows, columns)
    return _channels_inside(output.permute(0, 2, 3, 1).contiguous()) if _channels_last(maps) else output


def windows_conv(maps: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv2d(maps, weight, None, stride, padding=1)`, each output pixel a product of its own.

    A pixel's product is over the part of its 3x3 window that lies on the map, so no padding is multiplied.
    """
    (count, _, height, width), channels = maps.shape, len(weight)
    pixels, taps = maps.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
    rows, columns = _windows(height, stride), _windows(width, stride)
    outputs = [
        dense(pixels[:, row, column].reshape(count, -1), taps[:, row_taps, column_taps].reshape(channels, -1))
        for row, row_taps in rows
        for column, column_taps in columns
    ]
    output = _channels_inside(torch.stack(outputs, 1).reshape(count, len(rows), len(columns), channels))
    return output if _channels_last(maps) else output.contiguous()


def visited_pixels_conv(maps: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv2d(maps, weight, None, stride)` for weights (O, C, 1, 1): a dense layer on the pixels it visits."""
    pixels = maps.permute(0, 2, 3, 1)[:, ::stride, ::stride]
    # As one matrix: of four dimensions PyTorch makes one product or many, depending on what needs a gradient.
    rows = dense(pixels.reshape(-1, pixels.shape[-1]), weight.permute(0, 2, 3, 1).reshape(len(weight), -1))
    output = _channels_inside(rows.reshape(*pixels.shape[:-1], -1))
    return output if _channels_last(maps) else output.contiguous()


ShortWay = Callable[[Tensor, Tensor, int], Tensor]


def _channels_inside(pixels: Tensor) -> Tensor:
    """(N, H, W, C) as (N, C, H, W)."""
    return pixels.permute(0, 3, 1, 2)


def _outputs(size: int, stride: int) -> int:
    return (size - 1) // stride + 1


def _windows(size: int, stride: int) -> list[tuple[slice, slice]]:
    """For each output along one dimension of `size` pixels: which of them are in its window, and under which taps."""
    starts = [stride * output - 1 for output in range(_outputs(size, stride))]
    inside = [(max(start, 0), min(start + 3, size), start) for start in starts]
    return [(slice(first, end), slice(first - start, end - start)) for first, end, start in inside]


def _channels_last(maps: Tensor) -> bool:
    """As `is_contiguous(memory_format)`, which cannot be asked under vmap."""
    return maps.stride(1) == 1 and maps.stride(3) == maps.shape[1]


def _taps(height: int, width: int, stride: int) -> Tensor:
    """For each pair (output, input) of pixels the tap, counted row by row, that joins them: (outputs x inputs,)."""
    outputs = product(range(_outputs(height, stride)), range(_outputs(width, stride)))
    taps = [
        3 * (row - stride * out_row + 1) + (column - stride * out_column + 1)
        for out_row, out_column in outputs
        for row, column in product(range(height), range(width))
    ]
    return torch.tensor(taps, device="cpu")


_TAPS: dict[Case, Tensor] = {case: _taps(*case) for case in product((1, 2), (1, 2), (1, 2))}
