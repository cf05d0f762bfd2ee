"""Several runs of one method at once, on stacked networks that see the same batches.

What differs between the runs are real numbers (rates, weight decay, weights of losses) and epochs. The random state of
all is that of each by itself, so the results are those of single runs but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepunlearn.composition import load_method
from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import MASKS, Value
from deepunlearn.methods.base import Problem
from deepunlearn.ops.stacked import Stacked, StackedSGD, cross_entropies, why_apart
from deepunlearn.ops.step import Step
from deepunlearn.running import Run, Runs, Setting, takes_step, working_copy

Outcome = tuple[nn.Module, Run] | Diverged
MEMBERS = 2  # that make a group


class StackedProblem(Problem):
    """A problem whose working copy is `Stacked`, for methods with `together`."""

    model: Stacked

    def __post_init__(self) -> None:
        super().__post_init__()
        self._losses = torch.zeros(self.model.count, dtype=torch.float64, device=self.retain.device)

    def sgd(
        self,
        *,
        lr: Tensor | float,
        weight_decay: Tensor | float = 0.0,
        momentum: Tensor | float = 0.9,
        beside: Iterable[nn.Parameter] = (),
    ) -> torch.optim.Optimizer:
        assert not list(beside), "a layer beside the network is not stacked"
        return StackedSGD(self._trainable(), lr=lr, weight_decay=weight_decay, momentum=momentum)

    def cross_entropy(self, x: Tensor, y: Tensor) -> Tensor:
        """[K], of each network."""
        return cross_entropies(self.model(x), y, self.model.count)

    def step(
        self,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        adjust: Callable[[], None] | None = None,
    ) -> Step:
        """A step on the sum of the losses [K]: no network has part in the loss of another."""

        def summed(*batch: Tensor) -> Tensor:
            losses = loss(*batch)
            self._losses += losses.detach()
            return losses.sum()

        return Step(summed, optimizer, self._runtime.autocast, adjust)

    def finite(self) -> list[bool]:
        """Of each network, whether its losses so far and its weights now are finite. One read in all."""
        found: list[bool] = (torch.isfinite(self._losses) & self.model.finite()).tolist()
        return found


def execute_together(method: Runs, setting: Setting, epochs: Sequence[int], seed: int) -> list[Outcome]:
    """Run `method`, made with columns, for networks of so many epochs each, the longest first; the end of each.

    One that diverges ends as Diverged, the others go on. The seconds of a run are its share of the group's, by epochs.
    Raises NotApplicable from the method.
    """
    assert list(epochs) == sorted(epochs, reverse=True), "those that are not done must be the first"
    ends: dict[int, nn.Module | Diverged] = {}
    with setting.runtime.seeded(seed) as generator:
        problem = setting.problem_of(Stacked(setting.original, len(epochs)), generator, StackedProblem)
        clock, done = setting.runtime.clock(), 0
        problem._outside_clock = clock.paused
        steps = method.run(problem)
        try:
            while len(ends) < len(epochs):
                clock.start()
                more = takes_step(steps, problem)
                clock.stop()
                assert more, "a method with `together` yields once an epoch"
                done += 1
                for place, finite in enumerate(problem.finite()):
                    if place not in ends and not finite:
                        ends[place] = _diverged()
                    elif place not in ends and done == epochs[place]:
                        ends[place] = problem.model.take_out(place, working_copy(setting.original)).eval()
                problem.model.active = sum(length > done for length in epochs)
        finally:
            problem.release()
    return [_outcome(ends[place], clock.seconds * own / sum(epochs), own) for place, own in enumerate(epochs)]


def _outcome(end: nn.Module | Diverged, seconds: float, epochs: int) -> Outcome:
    return end if isinstance(end, Diverged) else (end, Run(seconds, epochs, {}))


def _diverged() -> Diverged:
    return Diverged(
        "the loss or the weights are not finite",
        given="infinite or NaN values after an epoch",
        allowed="finite losses and weights",
        remedy=SMALLER_RATE,
    )


# -------------------------------------------------------------------------------------------------------- what can be


def reason_apart(config: MethodConfig, setting: Setting) -> str | None:
    """Why the runs of a method on this original are run one by one; None where they can be together."""
    if config.steps or not load_method(config.name, config.modules.get(config.name)).together:
        return f"method {config.name} has no step for several networks"
    if not set(MASKS).isdisjoint(config.space):
        return "a mask is for one network"
    if setting.runtime.config.compile is not None or setting.runtime.config.precision != "fp32":
        return "runtime.compile and runtime.precision=bf16 are for one network at a time"
    if setting.frozen:
        return "layers of the model are frozen"
    x, _ = next(setting.data["retain"].blocks(MEMBERS))
    why = why_apart(setting.original, x)
    return None if why is None else f"networks of this architecture cannot be stacked ({why})"


def groups(config: MethodConfig, many: Sequence[Mapping[str, Value]]) -> list[list[int]]:
    """Places of values in `many` that can be run together: they differ in real numbers and epochs alone.

    In each group those of most epochs come first.
    """
    alike: dict[tuple[Value, ...], list[int]] = {}
    for place, params in enumerate(many):
        same = tuple(value for name, value in params.items() if name not in _columns(config))
        alike.setdefault(same, []).append(place)
    return [sorted(group, key=lambda place: -config.epochs_of(many[place])) for group in alike.values()]


def columns(config: MethodConfig, many: Sequence[Mapping[str, Value]], device: torch.device) -> dict[str, Any]:
    """The values of one group as its method gets them: a float64 [K] of what may differ."""
    made: dict[str, Any] = dict(many[0])
    for name in _columns(config):
        made[name] = torch.tensor([float(params[name]) for params in many], dtype=torch.float64, device=device)
    return made


def _columns(config: MethodConfig) -> list[str]:
    return [name for name, spec in config.space.items() if spec.type == "float" or spec.role == "epochs"]
