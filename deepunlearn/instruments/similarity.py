"""How alike two networks are, block by block: linear CKA of what blocks put out, and distances of their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import NotApplicable
from deepunlearn.data.loader import Part
from deepunlearn.runtime import Runtime
from deepunlearn.training import inference_batch

GROUPS = 4  # of blocks; each block by itself where there are no more


def groups(anatomy: Anatomy) -> list[list[nn.Module]]:
    """The blocks from input to output, in `GROUPS` runs of nearly equal length; fewer where there are fewer blocks."""
    blocks = list(anatomy.blocks)
    return [[blocks[place] for place in run] for run in np.array_split(range(len(blocks)), min(GROUPS, len(blocks)))]


def check_alike(own: nn.Module, other: nn.Module) -> None:
    """Raises NotApplicable where the blocks of one have none in the other that they can be held against."""
    mine, theirs = ({name: value.shape for name, value in model.named_parameters()} for model in (own, other))
    if mine != theirs:
        raise NotApplicable(
            "the model is not built like the original, so its blocks cannot be compared with the original's",
            given=f"{type(own).__name__} with {len(mine)} parameters beside {type(other).__name__} with {len(theirs)}",
            allowed="methods that leave the architecture as it is; an ensemble is another",
            remedy="leave the measure out for this method (measures=)",
        )


# ------------------------------------------------------------------------------------------------------ activations


def gram(features: Tensor) -> Tensor:
    """Inner products of the samples' `features` [N, ...], centred: [N, N] in double precision."""
    rows = features.flatten(1).double()
    rows = rows - rows.mean(0)
    return rows @ rows.T


def linear_cka(one: Tensor, other: Tensor) -> float | None:
    """Centred kernel alignment of two `gram` matrices of the same samples; None where one of them is 0.

    ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) of the centred features X and Y, as Kornblith et al. 2019 (equations 3 and
    4 with a linear kernel) define it; by the inner products of samples, since features outnumber them.
    """
    scale = float(one.norm() * other.norm())
    return float((one * other).sum()) / scale if scale > 0 else None


@torch.inference_mode()
def block_grams(model: nn.Module, anatomy: Anatomy, part: Part, runtime: Runtime) -> list[Tensor]:
    """`gram` of what the last block of each of `groups` puts out for `part`, in evaluation mode.

    Raises NotApplicable where a block is not called or gives no tensor with a row per sample.
    """
    last = [_ends(run[-1]) for run in groups(anatomy)]
    seen: list[list[Tensor]] = [[] for _ in last]
    with ExitStack() as hooks, runtime.autocast():
        for module, kept in zip(last, seen, strict=True):
            hooks.enter_context(module.register_forward_hook(partial(_keep, kept)))
        for done, (x, _) in enumerate(part.blocks(inference_batch(part.shape)), start=1):
            model(x)
            for module, kept in zip(last, seen, strict=True):
                _check(module, kept, done, len(x))
    return [gram(torch.cat(kept)) for kept in seen]


def _ends(block: nn.Module) -> nn.Module:
    """What gives the output of a block: of one that stands for several modules, the last of them."""
    return block[-1] if isinstance(block, nn.ModuleList) else block


def _keep(kept: list[Tensor], module: nn.Module, inputs: Any, output: Any) -> None:
    kept.append((output[0] if isinstance(output, tuple) else output).detach().float().cpu())


def _check(module: nn.Module, kept: Sequence[Tensor], done: int, samples: int) -> None:
    if len(kept) == done and kept[-1].ndim > 1 and len(kept[-1]) == samples:
        return
    found = f"{len(kept) - done + 1} calls" if len(kept) != done else f"an output of shape {list(kept[-1].shape)}"
    raise NotApplicable(
        "the output of a block cannot be compared between networks",
        given=f"{type(module).__name__}: {found} for {samples} samples",
        allowed="blocks that are called once with all samples and give a tensor with a row for each",
        remedy="name others: arch.parts.blocks=[...], or leave the measure out",
    )


# ---------------------------------------------------------------------------------------------------------- weights


def relative_distance(one: Iterable[nn.Module], other: Iterable[nn.Module]) -> float | None:
    """L2 distance of the parameters of `one` to those of `other` / L2 norm of the latter; None where that is 0."""
    now, then = _flat(one), _flat(other)
    norm = float(then.norm())
    return float((now - then).norm()) / norm if norm > 0 else None


def _flat(modules: Iterable[nn.Module]) -> Tensor:
    values = [value.detach().double().flatten() for module in modules for value in module.parameters()]
    return torch.cat(values) if values else torch.zeros(0, dtype=torch.float64)
