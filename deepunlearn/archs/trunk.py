"""Cutting a network that is not ours into blocks: stages with weights, in the order from input to output."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

CONTAINERS = (  # where torchvision, timm and transformers keep the blocks; the first that exists counts
    ("layer1", "layer2", "layer3", "layer4"),
    ("s1", "s2", "s3", "s4"),  # timm's RegNets
    ("stages",),
    ("blocks",),
    ("encoder.layers",),  # torchvision's ViT
    ("encoder.layer",),  # transformers
    ("trunk_output",),  # torchvision's RegNets
    ("features",),  # MobileNet, EfficientNet, DenseNet, VGG, AlexNet, ConvNeXt, Swin of torchvision
    ("layers",),
)

Group = list[nn.Module]


def blocks_of(model: nn.Module, head: nn.Module | None) -> tuple[nn.Module, ...]:
    """The blocks of `model`, empty where they cannot be told. `head` is not part of any.

    A block of several modules is given as a ModuleList of them. Every block holds weights.
    """
    groups = _groups(*_trunk(model, head))
    return tuple(group[0] if len(group) == 1 else nn.ModuleList(group) for group in groups)


def _trunk(model: nn.Module, head: nn.Module | None) -> tuple[list[nn.Module], bool]:
    """The modules that blocks are made of, and whether they run one after the other as they are registered."""
    for module in model.modules():
        for names in CONTAINERS:
            children = [child for name in names if (child := _submodule(module, name)) is not None]
            if len(children) == len(names):
                return (children, True) if len(children) > 1 else (list(children[0].children()), True)
    return _unnamed_trunk(model, head)


def _submodule(module: nn.Module, name: str) -> nn.Module | None:
    return dict(module.named_modules()).get(name)


def _unnamed_trunk(model: nn.Module, head: nn.Module | None) -> tuple[list[nn.Module], bool]:
    """The children before the head, those of the only one with weights where there is but one."""
    children = list(model.children())
    holds = [any(one is head for one in child.modules()) for child in children]
    own = holds.index(True) if any(holds) else len(children)
    with_weights = [child for child in children[:own] if weights_in(child)]
    inside = with_weights or [child for child in children[own : own + 1] if child is not head]
    if len(inside) == 1 and list(inside[0].children()):
        return _unnamed_trunk(inside[0], head)
    return children[:own], isinstance(model, nn.Sequential)


def _groups(trunk: list[nn.Module], in_order: bool) -> list[Group]:
    if any(weights_in(module) > 1 for module in trunk):
        return _stages(trunk)
    trunk = _without_classifier(trunk)
    if not in_order:  # single layers as attributes: which normalisation follows which layer cannot be told
        return _units(trunk) if all(list(module.children()) for module in trunk if weights_in(module)) else []
    pooled = _until_pooling(trunk)
    return pooled if len(pooled) > 1 else _units(trunk)


def weights_in(module: nn.Module) -> int:
    """How many layers of `module` have a weight of two or more dimensions: convolutions, linear layers and the like."""
    layers = [layer for layer in module.modules() if any(p.dim() > 1 for p in layer.parameters(recurse=False))]
    return len(layers)


def _stages(trunk: Sequence[nn.Module]) -> list[Group]:
    """A block for each module with several layers.

    One with a single layer is no stage: before the first it is the stem, between two it prepares the next (DenseNet's
    transitions, downsampling), behind the last it ends that one, as do normalisations and whatever has no weights.
    """
    groups: list[Group] = []
    waiting: Group = []
    for module in trunk:
        if weights_in(module) > 1:
            groups.append([*(waiting if groups else []), module])
            waiting = []
        elif weights_in(module) or not groups or waiting:
            waiting.append(module)
        else:
            groups[-1].append(module)
    groups[-1].extend(waiting)
    return groups


def _without_classifier(trunk: list[nn.Module]) -> list[nn.Module]:
    """Single layers up to the first linear one behind convolutions: there the hidden layers of the classifier begin."""
    convolutional = False
    for index, module in enumerate(trunk):
        if convolutional and isinstance(module, nn.Linear):
            return trunk[:index]
        convolutional |= any(isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) for layer in module.modules())
    return trunk


def _until_pooling(trunk: Sequence[nn.Module]) -> list[Group]:
    """Single layers in a row, a block ending with each pooling, as in VGG."""
    groups: list[Group] = [[]]
    for module in trunk:
        groups[-1].append(module)
        if "Pool" in type(module).__name__ and any(map(weights_in, groups[-1])):
            groups.append([])
    return _joined(groups)


def _units(trunk: Sequence[nn.Module]) -> list[Group]:
    """Single layers in a row, a block for each with what follows it: normalisation, activation, dropout."""
    groups: list[Group] = [[]]
    for module in trunk:
        if weights_in(module) and any(map(weights_in, groups[-1])):
            groups.append([])
        groups[-1].append(module)
    return _joined(groups)


def _joined(groups: list[Group]) -> list[Group]:
    """A last group without weights belongs to the one before it; where no group has any there are no blocks."""
    if not any(map(weights_in, groups[-1])):
        rest = groups.pop()
        if groups:
            groups[-1].extend(rest)
    return groups
