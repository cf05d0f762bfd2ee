"""What a problem watches for beside its method, and what it does outside the clock."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn import runtime
from deepunlearn.composition import Chain, make_method
from deepunlearn.config import method_configs
from deepunlearn.core.errors import Diverged, NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.running import execute
from deepunlearn.testing import small
from deepunlearn.testing.contract import data, quick_params, unlearn
from tests.methods.oracles import DATA, PlainAdam, close, everything, shuffled, student_of, trained


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["parameter", "buffer"])
def test_a_weight_that_is_not_finite_is_found(name: str, value: float) -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        problem.check_finite()
        held = problem.model.named_parameters() if name == "parameter" else problem.model.named_buffers()
        floating = [tensor for _, tensor in held if tensor.is_floating_point()]
        floating[-1].view(-1)[-1] = value
        with pytest.raises(Diverged, match="weights are not finite"):
            problem.check_finite()


def test_infinities_do_not_hide_each_other() -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        weight = next(problem.model.parameters())
        weight[0, 0, 0, 0], weight[0, 0, 0, 1] = math.inf, -math.inf
        with pytest.raises(Diverged):
            problem.check_finite()


def test_large_sums_of_half_precision_weights_are_finite() -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        problem.model.half()
        for weight in problem.model.parameters():
            weight.fill_(60_000.0)
        problem.check_finite()


# -------------------------------------------------------------------------------------------------- outside the clock


class Hands:
    """A clock's hands, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(runtime.time, "perf_counter", self.read)

    def read(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("names", [["kde"], ["euk"], ["rni"], ["bt"], ["ft", "kde", "euk"]])
def test_making_a_network_is_not_timed(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    hands, here, original = Hands(monkeypatch), small.runtime(), small.model()
    built: list[nn.Module] = []

    def slow(problem: Problem) -> Problem:
        build = problem._fresh

        def fresh() -> nn.Module:
            hands.now += 1000.0
            built.append(build())
            return built[-1]

        problem._fresh = fresh
        return problem

    configs, data = method_configs(), small.parts()
    chain = Chain([make_method(configs[name], quick_params(configs[name])) for name in names])
    _, run = execute(chain, lambda g: slow(small.make_problem(original, "smallnet", g, data, here)), here, 0)
    assert len(built) == sum(name != "ft" for name in names)
    assert 0 < run.seconds < 1000, "seconds inside the method, that is one per pair of looks at the clock"


def test_reading_the_weights_of_shards_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    hands, here, data, method = Hands(monkeypatch), small.runtime(), small.parts(), method_configs()["sisa"]
    original = small.original_of("smallnet", "shards")
    shards = small.shards_of(original, data)
    read: list[tuple[int, int]] = []

    def slow(shard: int, piece: int) -> Mapping[str, Tensor]:
        hands.now += 1000.0
        read.append((shard, piece))
        return shards._states(shard, piece)

    found = replace(shards, _states=slow)
    _, run = execute(
        make_method(method, quick_params(method)),
        lambda generator: small.make_problem(original, "smallnet", generator, data, here, recorded=found),
        here,
        0,
    )
    assert read and 0 < run.seconds < 1000


def test_an_optimiser_goes_with_the_epoch_that_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds as much as the weights do."""
    made: list[weakref.ref[torch.optim.Optimizer]] = []
    alive: list[int] = []
    sgd = Problem.sgd

    def noted(problem: Problem, **options: Any) -> torch.optim.Optimizer:
        optimizer = sgd(problem, **options)
        made.append(weakref.ref(optimizer))
        return optimizer

    monkeypatch.setattr(Problem, "sgd", noted)
    rni = method_configs()["rni"]
    unlearn(rni, "smallnet", on_epoch=lambda *_: alive.append(sum(one() is not None for one in made)), epochs=4)
    assert len(made) == 4 and alive == [1] * 4


# ------------------------------------------------------------------------------------------------------ frozen layers


class WritesToAll(Method):
    """A method of one's own that asks nobody."""

    def run(self, problem: Problem) -> Iterator[None]:
        with torch.no_grad():
            for parameter in problem.model.parameters():
                parameter.add_(1.0)
        yield


class MovesStatistics(Method):
    """It moves no parameter and resets the statistics."""

    def run(self, problem: Problem) -> Iterator[None]:
        for module in problem.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.add_(1.0)  # type: ignore[union-attr]
        yield


@pytest.mark.parametrize("method", [WritesToAll(), MovesStatistics()])
def test_a_method_that_moves_what_is_frozen_is_found_out(method: Method) -> None:
    here, original, data = small.runtime(), small.model(), small.parts()
    frozen = frozenset({"block1.0.weight", "block1.1.weight", "block1.1.bias"})

    def problem_of(generator: torch.Generator) -> Problem:
        return small.make_problem(original, "smallnet", generator, data, here, frozen=frozen)

    with pytest.raises(NotApplicable, match="frozen") as error:
        execute(method, problem_of, here, 0)
    assert "block1" in str(error.value.given) and "movable" in (error.value.remedy or "")


def test_what_is_frozen_is_neither_trained_nor_offered() -> None:
    original, data, here = small.model(), small.parts(), small.runtime()
    frozen = frozenset({"head.weight", "head.bias"})
    problem = small.make_problem(original, "smallnet", torch.Generator(), data, here, frozen=frozen)
    head = list(problem.anatomy.head.parameters())
    problem.train_only(problem.model.parameters())
    groups = problem.sgd(lr=0.1).param_groups + problem.adam(lr=0.1).param_groups
    offered: list[Tensor] = [*problem.movable(problem.model.parameters(), "all")]
    for params in (*(group["params"] for group in groups), offered):
        assert len(params) == len(list(problem.model.parameters())) - 2
        assert not {id(parameter) for parameter in params} & {id(parameter) for parameter in head}
    problem.train_only(head)
    with pytest.raises(NotApplicable, match="frozen"):
        problem.sgd(lr=0.1)
    with pytest.raises(NotApplicable, match="frozen"):
        problem.reinitialise([problem.anatomy.head])
    assert problem.movable([], "nothing") == []


# --------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.usefixtures("double_precision")
def test_adam_keeps_within_the_masks() -> None:
    original, random = student_of(trained()).double(), torch.Generator().manual_seed(0)
    masks = [torch.rand(parameter.shape, generator=random) < 0.4 for parameter in original.parameters()]
    batches = shuffled(everything("retain"), 32, random)
    with small.problem(original, data=DATA) as task:
        task.model.train()
        task.restrict(dict(zip(task.model.parameters(), masks, strict=True)))
        step = task.step(task.cross_entropy, task.adam(lr=0.003, weight_decay=0.1))
        for batch in batches:
            step(*batch)
    expected = student_of(original).train()
    reference = PlainAdam(expected, 0.1, masks)
    for x, y in batches:
        reference.step(F.cross_entropy(expected(x), y), 0.003)
    for before, after, mask in zip(original.parameters(), task.model.parameters(), masks, strict=True):
        assert torch.equal(before[~mask], after[~mask]), "a weight outside the mask moved"
        assert (before[mask] != after[mask]).all()
    close(task.model, expected)


# ------------------------------------------------------------------------------------------------------ single samples


@pytest.mark.parametrize("name", ["ga", "scrub"])
def test_a_method_that_cannot_train_on_one_sample_says_so(name: str) -> None:
    """Batch normalisation has no variance of one value, and a deletion request may be of one sample."""
    one = {"forget": data("resnet18")["forget"].subset([0])}
    with pytest.raises(NotApplicable, match="a batch of one sample") as error:
        unlearn(method_configs()[name], "resnet18", swap=one)
    assert "larger batch size" in error.value.remedy
    unlearn(method_configs()[name], "smallnet", swap=one)  # its maps have several values per channel
