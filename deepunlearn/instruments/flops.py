"""Floating-point operations of whatever runs in a block, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from deepunlearn.kernels import switch


class Counting(AbstractContextManager["Counting"]):
    """Counts the operations of matrix products and convolutions in its block, by torch's formulas for dense ones.

    flops: how many; a multiplication and the addition that follows are two. What runs takes PyTorch's plain ways, as
    other ways to the same values (our CPU kernels, fused attention, compiled graphs) count otherwise: the number
    depends on neither processor nor options. Element by element work (activations, normalisation, optimisers, masks)
    is not counted.
    """

    def __init__(self) -> None:
        self.flops = 0
        self._block = ExitStack()

    def __enter__(self) -> Self:
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _backward})
        counter.mod_tracker = _Whole()  # type: ignore[assignment]  # all that is asked of it is `parents`
        with ExitStack() as block:
            for context in (switch.visit("off"), sdpa_kernel(SDPBackend.MATH), _eagerly(), counter):
                block.enter_context(context)
            block.callback(self._read, counter)
            self._block = block.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    def _read(self, counter: FlopCounterMode) -> None:
        self.flops += counter.get_total_flops()


class _Whole(AbstractContextManager[None]):
    """Stands for torch's tracker of modules, whose hooks forbid a gradient with respect to a network's input."""

    parents = frozenset({"Global"})

    def __exit__(self, *error: object) -> None:
        """There is nothing to end."""


def _eagerly() -> AbstractContextManager[Any]:
    """Without compiled graphs, into which no counter sees."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _backward(gradient: Sequence[int], inputs: Sequence[int], weights: Sequence[int], *rest: Any, **_: Any) -> int:
    """Of a convolution's backward pass, by shapes: the gradients of inputs and weights take as much as the forward.

    torch's own formula counts those of the weights as if each group saw all channels (2.14), which is `groups` times
    too many: in depth-wise convolutions, and wherever gradients are taken sample by sample, which makes groups.
    rest: bias, stride, padding, dilation, transposed, output padding, groups, which gradients are wanted.
    """
    transposed, wanted = rest[4], rest[7]
    forward: int = conv_flop_count(list(inputs), list(weights), list(gradient), transposed)
    return forward * (int(wanted[0]) + int(wanted[1]))
