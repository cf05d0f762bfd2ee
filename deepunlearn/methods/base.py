"""What a method is, what it gets to see, and how it is run and timed."""

from __future__ import annotations

import copy
import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.archs import Parts
from deepunlearn.core.errors import ConfigError, Diverged
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.ops.optim import sgd
from deepunlearn.ops.step import Step
from deepunlearn.runtime import Runtime


@dataclass
class Problem:
    """Everything a method may use: no test set, no retrained model, no device.

    original: f_O, fixed, in evaluation mode (for teachers); model: the working copy to unlearn in place; retain,
    forget, val: un-augmented data; parts: stem, blocks and head of `model`; generator: the run's CPU generator.
    """

    original: nn.Module
    model: nn.Module
    parts: Parts
    retain: Part
    forget: Part
    val: Part
    classes: int
    generator: torch.Generator
    _runtime: Runtime
    _steps: list[Step] = field(default_factory=list)

    def batches(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled epoch of (images [B, 3, S, S], labels [B])."""
        return part.batches(batch_size, self.generator)

    def sgd(self, *, lr: float, weight_decay: float = 0.0, momentum: float = 0.9) -> torch.optim.Optimizer:
        """SGD over all parameters of the working copy."""
        return sgd(self.model.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)

    def step(
        self,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        adjust: Callable[[], None] | None = None,
    ) -> Step:
        """A training step of `loss`; its losses are watched for divergence at every yield."""
        step = Step(loss, optimizer, self._runtime.autocast, adjust)
        self._steps.append(step)
        return step

    def cross_entropy(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of the working copy on a batch."""
        return F.cross_entropy(self.model(x), y)

    def gradients(self, batches: Iterable[tuple[Tensor, Tensor]], params: list[nn.Parameter]) -> list[Tensor]:
        """The gradient of the mean cross-entropy over all samples of `batches`, one tensor per entry of `params`."""
        totals = [torch.zeros_like(parameter) for parameter in params]
        samples = 0
        for x, y in batches:
            with self._runtime.autocast():
                loss = F.cross_entropy(self.model(x), y, reduction="sum")
            torch._foreach_add_(totals, torch.autograd.grad(loss, params))
            samples += len(y)
        return [total / samples for total in totals]

    def check_finite(self) -> None:
        """Raises Diverged where a loss since the last check, or a weight now, is not finite."""
        for step in self._steps:
            step.mean_loss()
        weights = [value for value in self.model.state_dict().values() if value.is_floating_point()]
        if not all(bool(torch.isfinite(value).all()) for value in weights):
            raise Diverged("the weights are not finite", remedy="use a smaller learning rate")


class Method(ABC):
    """An unlearning method. Subclasses annotate their hyper-parameters, which are set by name.

    `run` changes `problem.model` in place and yields after each epoch. At a yield the clock stands still: the runner
    checks for divergence, shows progress and may prune. A method does not evaluate, write or report by itself.
    """

    name: ClassVar[str] = ""  # its file's name, set when it is loaded

    def __init__(self, **params: Value) -> None:
        declared = set(inspect.get_annotations(type(self)))
        if declared != set(params):
            raise ConfigError(
                f"{type(self).__name__} and its YAML name different hyper-parameters",
                given=", ".join(sorted(params)),
                allowed=", ".join(sorted(declared)),
                remedy="make conf/method/<name>.yaml and the class agree",
            )
        for name, value in params.items():
            setattr(self, name, value)

    @abstractmethod
    def run(self, problem: Problem) -> Iterator[None]:
        """Unlearn. Raises NotApplicable, before changing anything, on a model it cannot work on."""


def load_method(name: str) -> type[Method]:
    """The class in `deepunlearn/methods/<name>.py`. Raises ConfigError unless there is exactly one."""
    module = importlib.import_module(f"deepunlearn.methods.{name}")
    classes = [item for item in vars(module).values() if _is_method(item) and item.__module__ == module.__name__]
    if len(classes) != 1:
        raise ConfigError(
            f"the file of method {name!r} must hold exactly one Method",
            given=[item.__name__ for item in classes],
            allowed="one subclass of Method",
            remedy="move helpers to ops/, other methods to their own files",
        )
    classes[0].name = name
    return classes[0]


def _is_method(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, Method)


@dataclass(frozen=True)
class Run:
    """What a run leaves beside the model: seconds inside the method alone, and its number of yields."""

    seconds: float
    epochs: int


def execute(
    method: Method,
    problem_of: Callable[[torch.Generator], Problem],
    runtime: Runtime,
    seed: int,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
) -> tuple[nn.Module, Run]:
    """Run `method` under its own random state and clock; returns the unlearned model.

    `on_epoch(epochs done, model)` is called at each yield, outside the clock; it may raise to end the run, and what it
    draws from random states does not reach the method. Raises Diverged, or NotApplicable from the method.
    """
    with runtime.seeded(seed) as generator:
        problem = problem_of(generator)
        clock, epochs = runtime.clock(), 0
        steps = method.run(problem)
        while True:
            clock.start()
            more = next(steps, _END) is not _END
            clock.stop()
            problem.check_finite()
            if not more:
                return problem.model.eval(), Run(clock.seconds, epochs)
            epochs += 1
            if on_epoch:
                with runtime.seeded(seed):
                    on_epoch(epochs, problem.model)


_END = object()


def working_copy(original: nn.Module) -> nn.Module:
    """An independent copy with gradients on, as every method gets it."""
    model = copy.deepcopy(original)
    return model.requires_grad_(True)
