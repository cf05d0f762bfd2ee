"""Dense layers on CPUs where PyTorch's matrix product is held back.

PyTorch multiplies fp32 matrices with MKL, which on AMD's processors keeps to 256-bit instructions, and convolves with
oneDNN, which uses 512 bits where there are. So there a dense layer is computed as what it also is: a 1x1 convolution
whose pixels are the layer's rows. Same parameters, same function up to rounding.

What it gains, with how many rows, is in results/bench/layers.md (`python scripts/bench/run.py layers`); with 64 rows
nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepunlearn.kernels import switch

ROWS_FROM = 128


def _product_is_held_back() -> bool:
    """Whether this is an AMD processor with AVX-512, and PyTorch comes with MKL."""
    processors = Path("/proc/cpuinfo")
    return (
        torch.backends.mkl.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and processors.exists()
        and "AuthenticAMD" in processors.read_text()
    )


PAYS = _product_is_held_back()


def dense(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear(rows, weight, bias)`: (..., C) with weights (O, C) to (..., O)."""
    count, images = rows.numel() // rows.shape[-1], _images()
    if not PAYS or not switch.in_use(rows.device) or rows.dtype != torch.float32 or count < ROWS_FROM or count % images:
        return F.linear(rows, weight, bias)
    pixels = rows.reshape(images, 1, -1, rows.shape[-1]).permute(0, 3, 1, 2)  # as channels_last has them in memory
    return F.conv2d(pixels, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(*rows.shape[:-1], -1)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch cannot trace what it calls
def _images() -> int:
    """Into how many the rows are divided: with one thread PyTorch leaves 1x1 convolutions of under 16 images to MKL."""
    return 1 if torch.get_num_threads() > 1 else 16


class Dense(nn.Linear):
    """`nn.Linear` by way of `dense`."""

    def forward(self, input: Tensor) -> Tensor:
        return dense(input, self.weight, self.bias)


def use_dense(model: nn.Module) -> None:
    """Turn, in place, every `nn.Linear` of `model` into a `Dense`; modules, parameters and state-dict keys stay."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Dense
