"""How a method is run: the problem it gets, its random state, its clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.learning import Recorded, Shards
from deepunlearn.methods.base import Problem
from deepunlearn.runtime import Runtime
from deepunlearn.training import normalises_one

Kind = TypeVar("Kind", bound=Problem)


@dataclass(frozen=True)
class Run:
    """What a run leaves beside the model: seconds inside the method alone, its number of yields, its notes."""

    seconds: float
    epochs: int
    notes: dict[str, Value]


@dataclass(frozen=True)
class Setting:
    """What all runs on one original share. Problems are made here, of the library's models and of a sweep's alike.

    data: retain, forget and val; anatomy: stem, blocks and head of a copy of the original; the rest as in `Problem`.
    """

    original: nn.Module
    data: Mapping[str, Part]
    classes: int
    anatomy: Callable[[nn.Module], Anatomy]
    fresh: Callable[[], nn.Module]
    runtime: Runtime
    frozen: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    unbounded: frozenset[str] = frozenset()
    recorded: Recorded | Shards | None = None
    difficulty: Tensor | None = None

    def problem(self, generator: torch.Generator) -> Problem:
        """A problem with a working copy of its own."""
        return self.problem_of(self.runtime.compiled(working_copy(self.original)), generator, Problem)

    def problem_of(self, model: nn.Module, generator: torch.Generator, kind: type[Kind]) -> Kind:
        """A problem of a kind whose working copy is `model`."""
        return kind(
            original=self.original,
            model=model,
            anatomy=self.anatomy(model),
            retain=self.data["retain"],
            forget=self.data["forget"],
            val=self.data["val"],
            classes=self.classes,
            generator=generator,
            frozen=self.frozen,
            _fresh=self.fresh,
            _runtime=self.runtime,
            _kept=self.kept,
            _unbounded=self.unbounded,
            _recorded=self.recorded,
            _difficulty=self.difficulty,
        )


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
        problem._outside_clock = clock.paused
        steps = method.run(problem)
        try:
            while True:
                clock.start()
                more = takes_step(steps, problem)
                clock.stop()
                problem.check_finite()
                problem.check_frozen()
                if not more:
                    return problem.model.eval(), Run(clock.seconds, epochs, problem.notes)
                epochs += 1
                if on_epoch:
                    with runtime.seeded(seed):
                        on_epoch(epochs, problem.model)
        finally:
            problem.release()


_END = object()


def takes_step(steps: Iterator[None], problem: Problem) -> bool:
    """Let a method run to its next yield; whether there is one.

    Batch normalisation cannot train on one sample: NotApplicable where a method gives it a batch of one.
    """
    try:
        return next(steps, _END) is not _END
    except ValueError as error:
        if not normalises_one(error):
            raise
        sizes = {"retain": problem.retain, "forget": problem.forget, "val": problem.val}
        raise NotApplicable(
            "this method trains on a batch of one sample, which the model's batch normalisation cannot do",
            given=", ".join(f"{name}: {len(part)} samples" for name, part in sizes.items()),
            allowed="at least two samples in each part that is trained on, batches of at least two",
            remedy="give more samples or a larger batch size, or use another method",
        ) from error


def working_copy(original: nn.Module) -> nn.Module:
    """An independent copy, as every method gets it; gradients are on, but for what a problem freezes."""
    model = copy.deepcopy(original)
    return model.requires_grad_(True)
