"""Stem, blocks and head of any classifier: found in the common torchvision and timm models, or given by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import nn

from deepunlearn.core.errors import ConfigError

BLOCKS = (  # where torchvision and timm keep them; the first that exists counts
    ("layer1", "layer2", "layer3", "layer4"),  # ResNets
    ("stages",),
    ("blocks",),
    ("encoder.layers",),  # torchvision's ViT
    ("features",),  # MobileNet, EfficientNet, DenseNet, VGG, ConvNeXt, Swin
)


class Anatomy:
    """The parts of `model`, each looked for when it is asked for.

    named: {"stem": names, "blocks": names, "head": name} of submodules, for what is not found. Attributes raise
    ConfigError where a part can neither be found nor was named.
    """

    def __init__(self, model: nn.Module, named: Mapping[str, str | Sequence[str]]) -> None:
        unknown = set(named) - {"stem", "blocks", "head"}
        if unknown:
            raise ConfigError("unknown part", given=", ".join(sorted(unknown)), allowed="stem, blocks, head",
                              remedy='give parts={"head": "fc"}')  # fmt: skip
        self._model, self._named = model, named

    @cached_property
    def stem(self) -> tuple[nn.Module, ...]:
        """The convolutions that see the image: the first one, unless named. Empty for a model without convolutions."""
        if "stem" in self._named:
            return self._given("stem")
        first = next((module for module in self._model.modules() if isinstance(module, nn.Conv2d)), None)
        return () if first is None else (first,)

    @cached_property
    def blocks(self) -> tuple[nn.Module, ...]:
        """Input to output."""
        if "blocks" in self._named:
            return self._given("blocks")
        for names in BLOCKS:
            found = [self._find(name) for name in names]
            if all(module is not None for module in found):
                modules = [module for module in found if module is not None]
                return tuple(modules) if len(modules) > 1 else tuple(modules[0].children())
        raise self._missing("blocks", '["layer3", "layer4"]')

    @cached_property
    def head(self) -> nn.Module:
        """The last linear layer, unless named."""
        if "head" in self._named:
            return self._given("head")[0]
        linear = [module for module in self._model.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise self._missing("head", '"fc"')
        return linear[-1]

    def _find(self, name: str) -> nn.Module | None:
        modules = dict(self._model.named_modules())
        return modules.get(name)

    def _given(self, part: str) -> tuple[nn.Module, ...]:
        value = self._named[part]
        names = [value] if isinstance(value, str) else list(value)
        found = [self._find(name) for name in names]
        if None in found or not names:
            children = ", ".join(name for name, _ in self._model.named_children())
            raise ConfigError(f"the model has no such {part}", given=str(names), allowed=f"submodules, e.g. {children}",
                              remedy=f"correct parts[{part!r}]")  # fmt: skip
        return tuple(module for module in found if module is not None)

    def _missing(self, part: str, example: str) -> ConfigError:
        return ConfigError(
            f"cannot tell which part of this model is its {part}",
            given=type(self._model).__name__,
            allowed=", ".join(name for name, _ in self._model.named_children()),
            remedy=f'name it: parts={{"{part}": {example}}}',
        )
