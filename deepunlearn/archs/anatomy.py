"""Stem, blocks, hidden classifier layers and head of any classifier: found, or given by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import nn

from deepunlearn.archs.trunk import blocks_of
from deepunlearn.core.errors import ConfigError, NotApplicable


class Anatomy:
    """The parts of `model`, each looked for when it is asked for.

    named: {"stem": names, "blocks": names, "head": name} of submodules, for what is not found, and "hidden" for what
    should be found otherwise. Attributes raise NotApplicable where a part can neither be found nor was named,
    ConfigError where a name cannot serve.
    """

    def __init__(self, model: nn.Module, named: Mapping[str, str | Sequence[str]]) -> None:
        unknown = set(named) - {"stem", "blocks", "hidden", "head"}
        if unknown:
            raise ConfigError("unknown part", given=", ".join(sorted(unknown)), allowed="stem, blocks, hidden, head",
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
        """Input to output, each with weights; a block of several modules is a ModuleList of them."""
        if "blocks" in self._named:
            return self._given("blocks")
        blocks = blocks_of(self._model, self._last_linear())
        if not blocks:
            raise self._missing("blocks", '["layer3", "layer4"]')
        return blocks

    @cached_property
    def hidden(self) -> tuple[nn.Module, ...]:
        """What has parameters of its own behind the last block and is not the head, in the order of registration."""
        if "hidden" in self._named:
            return self._given("hidden") if self._named["hidden"] else ()
        modules = list(self._model.modules())
        inside = {id(module) for block in self.blocks for module in block.modules()}
        last = max(index for index, module in enumerate(modules) if id(module) in inside)
        head = {id(module) for module in self.head.modules()}
        behind = [module for module in modules[last + 1 :] if id(module) not in head]
        return tuple(module for module in behind if next(module.parameters(recurse=False), None) is not None)

    @cached_property
    def head(self) -> nn.Module:
        """The last linear layer, unless named."""
        if "head" in self._named:
            return self._given("head")[0]
        last = self._last_linear()
        if last is None:
            raise self._missing("head", '"fc"')
        return last

    def _last_linear(self) -> nn.Module | None:
        linear = [module for module in self._model.modules() if isinstance(module, nn.Linear)]
        return linear[-1] if linear else None

    def _given(self, part: str) -> tuple[nn.Module, ...]:
        value = self._named[part]
        names = [value] if isinstance(value, str) else list(value)
        modules = dict(self._model.named_modules())
        wrong = [name for name in names if name not in modules or next(modules[name].parameters(), None) is None]
        if wrong or not names or len(set(names)) < len(names):
            raise ConfigError(
                f"parts[{part!r}] must name submodules that have parameters, each once",
                given=", ".join(wrong or names) or "no name",
                allowed=", ".join(name for name, child in self._model.named_children() if list(child.parameters())),
                remedy=f"correct parts[{part!r}]; submodules of these have dotted names, e.g. features.3",
            )
        return tuple(modules[name] for name in names)

    def _missing(self, part: str, example: str) -> NotApplicable:
        return NotApplicable(
            f"cannot tell which part of this model is its {part}",
            given=type(self._model).__name__,
            allowed=", ".join(name for name, _ in self._model.named_children()) or "a model made of submodules",
            remedy=f'name it: parts={{"{part}": {example}}} in the library, arch.parts.{part}= in a command',
        )
