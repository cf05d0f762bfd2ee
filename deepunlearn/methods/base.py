"""What a method is, what it gets to see, and how it is run and timed."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.archs import Parts
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import ConfigError, Diverged, NotApplicable
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.ops.convolutions import Convolution, convolutions
from deepunlearn.ops.optim import adam, sgd
from deepunlearn.ops.step import Step
from deepunlearn.runtime import Runtime
from deepunlearn.training import predict


@dataclass
class Problem:
    """Everything a method may use: no test set, no retrained model, no device.

    original: f_O, fixed, in evaluation mode (for teachers); model: the working copy to unlearn in place; retain,
    forget, val: un-augmented data; parts: stem, blocks and head of `model`; generator: the run's CPU generator;
    notes: what a method wants to have recorded about its run.
    """

    original: nn.Module
    model: nn.Module
    parts: Parts | Anatomy
    retain: Part
    forget: Part
    val: Part
    classes: int
    generator: torch.Generator
    _fresh: Callable[[], nn.Module]
    _runtime: Runtime
    _kept: frozenset[str] = frozenset()  # parameters of fresh networks that are not fresh, for a user's model
    _unbounded: frozenset[str] = frozenset()  # buffers of a user's model that hold infinity from the start
    notes: dict[str, Value] = field(default_factory=dict)
    _steps: list[Step] = field(default_factory=list)
    _masks: dict[Tensor, Tensor] = field(default_factory=dict)

    def batches(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled epoch of (images [B, 3, S, S], labels [B])."""
        return part.batches(batch_size, self.generator)

    def endless(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of `part` for ever, shuffled anew in each round."""
        while True:
            yield from self.batches(part, batch_size)

    # ---------------------------------------------------------------------------------------------- what may move

    def sgd(self, *, lr: float, weight_decay: float = 0.0, momentum: float = 0.9) -> torch.optim.Optimizer:
        """SGD over the trainable parameters of the working copy, within the masks."""
        return sgd(self._trainable(), lr=lr, weight_decay=weight_decay, momentum=momentum, masks=self._masks)

    def adam(self, *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
        """Adam over the trainable parameters of the working copy, within the masks."""
        return adam(self._trainable(), lr=lr, weight_decay=weight_decay, masks=self._masks)

    def _trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def train_only(self, params: Iterable[nn.Parameter]) -> None:
        """Freeze all parameters but `params`. Optimisers and steps made before keep their old choice: make new ones."""
        chosen = {id(parameter) for parameter in params}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)

    def restrict(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        """Let optimisers made from now on move weights only where their mask is true."""
        self._masks = dict(masks)

    # ------------------------------------------------------------------------------------------------ other networks

    def fresh_model(self) -> nn.Module:
        """A newly initialised network of the same architecture, drawn from the global random state."""
        self._refuse_kept(self._kept)
        return self._fresh()

    def reinitialise(self, modules: Iterable[nn.Module]) -> None:
        """Give `modules` of the working copy the values of a freshly built network, running statistics included."""
        names = {id(module): name for name, module in self.model.named_modules()}
        chosen = {names[id(module)]: module for module in modules}
        self._refuse_kept({kept for kept in self._kept if any(kept.startswith(f"{name}.") for name in chosen)})
        fresh = self._fresh()
        for name, module in chosen.items():
            module.load_state_dict(fresh.get_submodule(name).state_dict())

    def _refuse_kept(self, kept: Set[str]) -> None:
        if kept:
            raise NotApplicable(
                "some parameters cannot be initialised anew: no module of the model resets them",
                given=", ".join(sorted(kept)[:5]),
                allowed="layers with reset_parameters()",
                remedy="give unlearn(..., fresh=FUNCTION) that builds a new network of this architecture",
            )

    def stem_convolutions(self) -> list[Convolution]:
        """The convolutions that see the image."""
        return [layer for module in self.parts.stem for layer in convolutions(module)]

    def error(self, part: Part) -> float:
        """1 - accuracy of the working copy on `part`, in evaluation mode; for rules that need it, inside the clock."""
        predicted = torch.from_numpy(predict(self.model, part, self._runtime)).argmax(1)
        return float((predicted != part.labels.cpu()).float().mean())

    # ------------------------------------------------------------------------------------------------------- steps

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

    def release(self) -> None:
        """Let go of gradients and steps; a step's loss refers to this problem, and such circles outlive their use."""
        self._steps.clear()
        self.model.zero_grad(set_to_none=True)

    def check_finite(self) -> None:
        """Raises Diverged where a loss since the last check, or a weight now, is not finite."""
        for step in self._steps:
            step.mean_loss()
        watched = (value for name, value in self.model.state_dict().items() if name not in self._unbounded)
        if not _sums_are_finite(watched):
            raise Diverged("the weights are not finite", remedy="use a smaller learning rate")


def _sums_are_finite(values: Iterable[Any]) -> bool:
    """Whether no entry of the floating-point `values` is infinite or NaN: then so is their sum. One read in all."""
    tensors = [value for value in values if isinstance(value, Tensor)]  # a module's extra state may be anything
    floating = [value for value in tensors if value.is_floating_point()]
    sums = [value.sum(dtype=torch.promote_types(value.dtype, torch.float32)).double() for value in floating]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())


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


def load_method(name: str, module: str | None = None) -> type[Method]:
    """The class of method `name`, in `deepunlearn/methods/<name>.py` or in `module`: its name, or a file's path.

    Raises ConfigError unless it can be imported and holds exactly one.
    """
    where = module or f"deepunlearn.methods.{name}"
    loaded = _imported(where)
    classes = [item for item in vars(loaded).values() if _is_method(item) and item.__module__ == loaded.__name__]
    if len(classes) != 1:
        raise ConfigError(
            f"the file of method {name!r} must hold exactly one Method",
            given=", ".join(item.__name__ for item in classes) or "none",
            allowed="one subclass of Method",
            remedy="move helpers to ops/, other methods to their own files",
        )
    classes[0].name = name
    return classes[0]


@cache
def _imported(where: str) -> ModuleType:
    """The module of a method. Whatever goes wrong in another's file is told as the error of that file."""
    if where.startswith("deepunlearn.methods."):
        return importlib.import_module(where)
    try:
        return _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            "the code of an extra method cannot be imported",
            given=f"{where}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})",
            allowed="a module that imports on its own and holds one subclass of Method",
            remedy="correct the file",
        ) from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"deepunlearn_extra_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_method(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, Method)


@dataclass(frozen=True)
class Run:
    """What a run leaves beside the model: seconds inside the method alone, its number of yields, its notes."""

    seconds: float
    epochs: int
    notes: dict[str, Value]


class Runs(Protocol):
    """A method, or what is made of methods."""

    def run(self, problem: Problem) -> Iterator[None]: ...


def execute(
    method: Runs,
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
        try:
            while True:
                clock.start()
                more = next(steps, _END) is not _END
                clock.stop()
                problem.check_finite()
                if not more:
                    return problem.model.eval(), Run(clock.seconds, epochs, problem.notes)
                epochs += 1
                if on_epoch:
                    with runtime.seeded(seed):
                        on_epoch(epochs, problem.model)
        finally:
            problem.release()


_END = object()


def working_copy(original: nn.Module) -> nn.Module:
    """An independent copy with gradients on, as every method gets it."""
    model = copy.deepcopy(original)
    return model.requires_grad_(True)
