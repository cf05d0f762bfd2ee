"""Methods made of methods: several in a row, and any gradient method within a mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import NOTHING, MethodConfig
from deepunlearn.core.params import MASK_SHARES, MASK_THRESHOLD, MASKS, Value
from deepunlearn.methods.base import Method, Problem
from deepunlearn.methods.rum import Refined
from deepunlearn.ops.layerwise import layerwise_masks
from deepunlearn.ops.saliency import saliency_masks
from deepunlearn.plugin_code import digest, load, only_class


class Chain:
    """One method after the other on the same working copy. f_O stays the original throughout; times add up."""

    def __init__(self, steps: list[Runnable]) -> None:
        self.steps = steps

    def run(self, problem: Problem) -> Iterator[None]:
        for step in self.steps:
            problem.train_only(problem.model.parameters())
            problem.restrict({})
            yield from step.run(problem)


class Masked:
    """A method whose updates reach only some weights: those that `masks` of its problem says.

    What a method does without an optimiser (re-initialising, transposing, adding noise) and the statistics of
    normalisation layers escape the mask; the methods say so.
    """

    def __init__(self, method: Runnable, masks: Callable[[Problem], dict[nn.Parameter, Tensor]]) -> None:
        self.method, self.masks = method, masks

    def run(self, problem: Problem) -> Iterator[None]:
        problem.restrict(self.masks(problem))
        yield from self.method.run(problem)


Runnable = Method | Chain | Masked


def load_method(name: str, module: str | None = None) -> type[Method]:
    """The class of method `name`, in `deepunlearn/methods/<name>.py` or in `module`: its name, or a file's path.

    Raises ConfigError unless it can be imported and holds exactly one.
    """
    abstract: type[Any] = Method  # no class of it is made here
    method: type[Method] = only_class(load(module or f"deepunlearn.methods.{name}"), abstract, f"method {name!r}")
    method.name = name
    return method


def make_method(config: MethodConfig, params: dict[str, Value]) -> Runnable:
    """The method that `config` describes with these values: plain, masked, or made of such.

    Raises ConfigError where its class cannot be loaded, disagrees with the YAML or was edited since.
    """
    if digest(config.modules.values()) != config.code:
        raise ConfigError(
            f"the code of method {config.name!r} was edited after the command began",
            given=", ".join(config.modules.values()),
            allowed="the code as it was when the command began",
            remedy="run the command again; results of the code as it was are kept",
        )
    if not config.steps:
        return _single(config, config.name, params)
    steps = {
        index: _single(config, name, _of_step(params, index))
        for index, name in enumerate(config.steps)
        if name != NOTHING
    }
    if config.meta == "rum":
        return Refined([steps[index].run if index in steps else None for index in range(len(config.steps))])
    return Chain(list(steps.values()))


def _single(config: MethodConfig, name: str, params: dict[str, Value]) -> Runnable:
    own = {key: value for key, value in params.items() if key not in MASKS}
    method = load_method(name, config.modules.get(name))(**own)
    if MASK_THRESHOLD in params:
        return Masked(method, partial(saliency_masks, fraction=float(params[MASK_THRESHOLD])))
    if MASK_SHARES[0] in params:
        first, last, power = (float(params[name]) for name in MASK_SHARES)
        return Masked(method, partial(layerwise_masks, first=first, last=last, power=power))
    return method


def _of_step(params: dict[str, Value], index: int) -> dict[str, Value]:
    prefix = f"{index}."
    return {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
