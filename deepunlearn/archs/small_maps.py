"""3x3 convolutions on maps of at most 2x2 pixels, written as one dense product.

On such maps most of the nine taps only ever meet zero padding: a 1x1 map sees the centre tap alone, on a 2x2 map every
output sees all inputs. So output = flattened map x a matrix gathered from the taps that can touch data. Same
parameters, same function up to rounding; the gradient of untouched taps is zero, as before.

Images per second against `F.conv2d`, as ratio (two CPU cores, fp32, channels_last, medians of interleaved runs):

| layer of ResNet18 at 32x32       | training step, batch 64 / 256 | evaluation, batch 64 / 256 |
|----------------------------------|-------------------------------|----------------------------|
| 512 -> 512, 1x1 map              | 3 to 4 / 2.5 to 5             | 3.4 / 2.6                  |
| 256 -> 512, 2x2 map, stride 2    | 2.5 / 2.9                     | 2.3 / 2.3                  |
| 256 -> 256, 2x2 map, stride 1    | 1.3 / 1.5                     | 1.3 / 1.5                  |
| the whole network                | 1.37 / 1.34                   | 1.1 to 1.4 / 1.2           |

The 2x2 map with stride 1 gathers 16 taps from 9, whatever the batch: that loses on a single image (0.4), also under
vmap over samples, and breaks even at about 16 images; hence `GATHER_FROM`. Per-sample gradients of the whole network
(vmap) come out 1.9 times as fast.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn

from deepunlearn.archs.dense import dense

LARGEST = 2  # pixels; on 4x4 maps the gathered matrix costs more than the convolution
GATHER_FROM = 16  # images; with fewer, gathering a matrix for several output pixels costs more than it saves

Case = tuple[int, int, int]  # input height, input width, stride


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 `nn.Conv2d` (padding 1, stride 1 or 2, no groups, no dilation) with a short way for maps of at most 2x2.

    (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride)), channels_last if the input is. Nothing derived from the
    weights is kept between calls, so changing them in place is safe. Only on the CPU: on an accelerator the gathering
    would be more kernels to launch, so the ordinary convolution runs there.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == 4 and input.device.type == "cpu" and self._pays(*input.shape):
            return small_map_conv(input, self.weight, self.bias, self.stride[0])
        return super().forward(input)

    def _pays(self, count: int, channels: int, height: int, width: int) -> bool:
        if max(height, width) > LARGEST:
            return False
        one_output = max(height, width) <= self.stride[0]
        return one_output or count >= GATHER_FROM


def use_small_maps(model: nn.Module) -> None:
    """Turn, in place, the convolutions of `model` that `SmallMapConv2d` can stand for into such.

    Modules and parameters stay the same objects, state-dict keys the same names.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = SmallMapConv2d


def _fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), 1, "zeros") and conv.stride in ((1, 1), (2, 2))


def small_map_conv(maps: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """`F.conv2d(maps, weight, bias, stride, padding=1)` for maps (N, C, H, W) with H, W <= 2, weights (O, C, 3, 3)."""
    count, channels, height, width = maps.shape
    rows, columns = _outputs(height, stride), _outputs(width, stride)
    # Channels innermost throughout: with channels_last maps and weights only the gathered taps are copied.
    by_tap = weight.permute(0, 2, 3, 1).reshape(-1, 9, channels)
    matrix = by_tap.index_select(1, _TAPS[height, width, stride]).reshape(-1, height * width * channels)
    flat = dense(maps.permute(0, 2, 3, 1).reshape(count, -1), matrix)
    output = flat.reshape(count, -1, rows, columns)
    if _channels_last(maps):  # is_contiguous(memory_format) cannot be asked under vmap
        output = output.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return output if bias is None else output + bias.to(output.dtype)[:, None, None]


def _outputs(size: int, stride: int) -> int:
    return (size - 1) // stride + 1


def _channels_last(maps: Tensor) -> bool:
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
