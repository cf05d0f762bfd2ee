"""RUM: which samples each step forgets and retains, from which model, and the same by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs, read_command
from deepunlearn.core.errors import NotApplicable
from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Problem
from deepunlearn.methods.rum import Refined, Step
from deepunlearn.running import execute
from deepunlearn.testing.small import equal_states, make_problem, model, parts, runtime, state

DATA = parts()
ORIGINAL = model().requires_grad_(False).eval()
SCORES = torch.linspace(-1, 1, len(DATA["forget"]), dtype=torch.float64)


def problem(generator: torch.Generator, difficulty: Tensor, data: dict[str, Part] = DATA) -> Problem:
    return make_problem(ORIGINAL, "smallnet", generator, data, runtime(), difficulty=difficulty)


class Seen:
    """A step that moves every weight by 1 and remembers what it was given."""

    def __init__(self, moved: bool = True) -> None:
        self.moved = moved

    def run(self, problem: Problem) -> Iterator[None]:
        whole = DATA["train"]
        self.forget, self.retain = (set(part.positions_in(whole).tolist()) for part in (problem.forget, problem.retain))
        self.began_with = state(problem.original)
        self.free = all(parameter.requires_grad for parameter in problem.model.parameters())
        problem.train_only([])
        with torch.no_grad():
            for parameter in problem.model.parameters():
                parameter.add_(float(self.moved))
        self.left = state(problem.model)
        yield


def run(steps: list[Step | None], difficulty: Tensor = SCORES, seed: int = 0) -> nn.Module:
    return execute(Refined(steps), lambda generator: problem(generator, difficulty), runtime(), seed)[0]


def test_each_step_forgets_its_own_group_and_retains_what_is_not_forgotten_yet() -> None:
    steps = [Seen(), Seen(), Seen()]
    order = torch.randperm(len(SCORES), generator=torch.Generator().manual_seed(4))
    run([step.run for step in steps], SCORES[order])
    places, everything = DATA["forget"].positions_in(DATA["train"]), set(range(len(DATA["train"])))
    by_score = places[SCORES[order].argsort()].tolist()
    sizes, forgotten = [len(step.forget) for step in steps], set[int]()
    assert sum(sizes) == len(by_score) and max(sizes) - min(sizes) <= 1
    for step in steps:
        expected = set(by_score[len(forgotten) : len(forgotten) + len(step.forget)])
        forgotten |= expected
        assert step.forget == expected, "the least memorised come first"
        assert step.retain == everything - forgotten, "what has its turn later is retained until then"


def test_a_step_unlearns_from_what_the_one_before_it_left_and_is_not_bound_by_it() -> None:
    first, last = Seen(), Seen()
    after = run([first.run, None, last.run])
    assert equal_states(first.began_with, state(ORIGINAL))
    assert equal_states(last.began_with, first.left) and equal_states(state(after), last.left)
    assert last.free, "the step before it trained nothing"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4, unique=False), st.integers(2, 4))
def test_groups_rise_whatever_is_equal(scores: list[float], groups: int) -> None:
    few = {**DATA, "forget": DATA["forget"].subset(range(4))}
    task = problem(torch.Generator().manual_seed(1), torch.tensor(scores, dtype=torch.float64), few)
    made = Refined([None] * groups)._groups(task)
    assert sorted(torch.cat(made).tolist()) == [0, 1, 2, 3] and len(made) == groups
    for lower, higher in itertools.pairwise(made):
        assert task.difficulty[lower].max() <= task.difficulty[higher].min()


def test_equal_scores_are_ordered_at_random() -> None:
    task = [problem(torch.Generator().manual_seed(seed), torch.zeros(len(SCORES))) for seed in (1, 1, 2)]
    one, again, other = (torch.cat(Refined([None, None])._groups(each)).tolist() for each in task)
    assert one == again != other


def test_fewer_samples_than_groups_are_refused() -> None:
    few = {**DATA, "forget": DATA["forget"].subset([0, 1])}
    with pytest.raises(NotApplicable, match="fewer samples than rum makes groups"):
        execute(Refined([None] * 3), lambda generator: problem(generator, SCORES[:2], few), runtime(), 0)


def test_its_default_is_nothing_then_fine_tuning_then_salun_by_hand() -> None:
    configs, here = method_configs(), runtime()
    quick = {"1.epochs": 1, "1.batch_size": 32, "2.epochs": 1, "2.batch_size": 32}
    method = make_method(configs["rum"], configs["rum"].complete(quick))
    made, done = execute(method, lambda generator: problem(generator, SCORES), here, seed=3)
    assert done.epochs == 2 == configs["rum"].epochs_of(configs["rum"].complete(quick))
    low, middle, high = torch.arange(len(SCORES)).tensor_split(3)
    with here.seeded(3) as generator:
        task = problem(generator, SCORES)
        torch.randperm(len(SCORES), generator=generator)  # for ties
        forget = DATA["forget"]
        task.retain, task.forget = DATA["retain"].joined(forget.subset(high)), forget.subset(middle)
        ft = {"lr": 0.1, "epochs": 1, "batch_size": 32}
        assert len(list(make_method(configs["ft"], configs["ft"].complete(ft)).run(task))) == 1
        task.retain, task.forget = DATA["retain"], forget.subset(high)
        assert len(list(make_method(configs["salun"], configs["salun"].complete(ft)).run(task))) == 1
    assert equal_states(state(made), state(task.model.eval()))
    means = [float(SCORES[group].mean()) for group in (low, middle, high)]
    assert [done.notes[f"{number}.difficulty"] for number in range(3)] == pytest.approx(means)


def test_its_steps_take_values_of_their_own() -> None:
    command = ("method=rum", "dataset=digits", "arch=smallnet", "rum.steps=[ft,none,ga]", "rum.2.lr=0.002")
    (method,) = read_command([*command, "search=quick"]).sweep.methods
    assert {"0.lr", "2.lr"} <= set(method.space) and not any(name.startswith("1.") for name in method.space)
    assert method.fixed == {"2.lr": 0.002} and method.space["0.lr"].searched
    assert isinstance(make_method(method, method.complete({})), Refined)
