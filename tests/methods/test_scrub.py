"""SCRUB against a plain loop, its rates, and the epoch it rewinds to."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from deepunlearn.core.errors import NotApplicable
from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Problem
from deepunlearn.testing.small import equal_states, state
from tests.methods.oracles import (
    DATA,
    SEED,
    PlainSGD,
    State,
    check_teacher_stays,
    close,
    divergence,
    everything,
    execute_on,
    run,
    student_of,
    trained,
)

TWO_CLASSES = {**DATA, "forget": DATA["forget"].subset((DATA["forget"].labels < 2).nonzero().flatten())}


SCRUB = {
    "lr": 0.02, "weight_decay": 0.01, "gamma": 0.7, "alpha": 0.6, "msteps": 2, "temperature": 3.0,
    "retain_batch_size": 32, "forget_batch_size": 8, "epochs": 3, "rewind": False,
}  # fmt: skip


def scrub_states(original: nn.Module, data: dict[str, Part], epochs: int, msteps: int) -> list[nn.Module]:
    """f_O and the student after each epoch, at SCRUB's other values."""
    lr, decay, gamma, alpha, temperature = (
        SCRUB[name] for name in ("lr", "weight_decay", "gamma", "alpha", "temperature")
    )
    teacher, student = copy.deepcopy(original).eval(), student_of(original).train()
    generator, optimizer = torch.Generator().manual_seed(SEED), PlainSGD(student, decay)
    history = [copy.deepcopy(student)]
    for epoch in range(1, epochs + 1):
        rate = lr
        for share in (0.5, 0.8, 0.9):
            rate = rate / 10 if epoch > max(1, int(share * epochs)) else rate
        if epoch <= msteps:
            for x, _ in data["forget"].batches(8, generator):
                optimizer.step(-(temperature**2) * divergence(teacher(x), student(x), temperature), rate)
        for x, y in data["retain"].batches(32, generator):
            logits = student(x)
            apart = temperature**2 * divergence(teacher(x), logits, temperature)
            optimizer.step(gamma * F.cross_entropy(logits, y) + alpha * apart, rate)
        history.append(copy.deepcopy(student))
    return history


@pytest.mark.parametrize(("epochs", "msteps"), [(3, 2), (2, 0), (1, 1)])
def test_scrub_alternates_max_and_min_passes(epochs: int, msteps: int) -> None:
    expected = scrub_states(trained(), DATA, epochs, msteps)[-1]
    close(run("scrub", trained(), **{**SCRUB, "epochs": epochs, "msteps": msteps}), expected)


@pytest.mark.parametrize(
    ("epochs", "factors"),
    [
        (1, [1]),
        (2, [1, 1e-3]),
        (5, [1, 1, 0.1, 0.1, 1e-3]),
        (10, [1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 1e-3]),
    ],
)
def test_scrub_lowers_its_rate_when_the_epoch_counted_from_one_exceeds_a_milestone(
    epochs: int, factors: list[float]
) -> None:
    rates: list[float] = []
    original = trained()  # before the hook, which sees the steps of all optimisers
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    whole = {"retain_batch_size": 1000, "forget_batch_size": 1000, "msteps": 0}
    run("scrub", original, **{**SCRUB, **whole, "epochs": epochs})
    hook.remove()
    assert rates == pytest.approx([0.02 * factor for factor in factors])


def error_of(net: nn.Module, part: Part) -> float:
    x, y = everything(part)
    with torch.no_grad():
        guesses = copy.deepcopy(net).eval()(x).argmax(1)
    return sum(int(guess) != int(label) for guess, label in zip(guesses, y, strict=True)) / len(y)


def test_scrub_rewinds_to_the_epoch_whose_forget_error_fits_the_final_validation_error() -> None:
    data = TWO_CLASSES
    history = scrub_states(trained(), data, 3, 2)
    classes = {int(label) for label in data["forget"].labels}
    wanted = error_of(
        history[-1], data["val"].subset([i for i, label in enumerate(data["val"].labels) if int(label) in classes])
    )
    gaps = [abs(error_of(net, data["forget"]) - wanted) for net in history]
    unlearned, ran = execute_on("scrub", trained(), data, **{**SCRUB, "rewind": True})
    assert ran.notes == {"rewound_to": gaps.index(min(gaps))}
    close(unlearned, history[gaps.index(min(gaps))])


class ScriptedErrors:
    """Stands in for Problem.error: says each epoch's forget error, remembers what was asked."""

    def __init__(self, forget: list[float], val: float) -> None:
        self.forget, self.val = iter(forget), val
        self.states: list[State] = []
        self.val_parts: list[Part] = []
        self.at_val: State = {}

    @property
    def answer(self) -> Callable[[Problem, Part], float]:
        """A plain function, which becomes a method where it is set on a class."""

        def error(problem: Problem, part: Part) -> float:
            return self._answer(problem, part)

        return error

    def _answer(self, problem: Problem, part: Part) -> float:
        if part is problem.forget:
            self.states.append(state(problem.model))
            return next(self.forget)
        self.val_parts.append(part)
        self.at_val = state(problem.model)
        return self.val


@pytest.mark.parametrize(
    ("forget", "val", "expected"),
    [
        ([0.0, 0.4, 0.7, 0.2], 0.65, 2),  # closest from above
        ([0.0, 0.4, 0.7, 0.2], 0.45, 1),  # closest from below
        ([0.1, 0.4, 0.7, 0.3], 0.05, 0),  # the original itself
        ([0.0, 0.4, 0.7, 0.2], 0.2, 3),  # the final model
    ],
)
def test_scrub_rewinds_as_told_by_the_errors(
    monkeypatch: pytest.MonkeyPatch, forget: list[float], val: float, expected: int
) -> None:
    script = ScriptedErrors(forget, val)
    monkeypatch.setattr(Problem, "error", script.answer)
    unlearned, ran = execute_on("scrub", trained(), TWO_CLASSES, **{**SCRUB, "rewind": True})
    assert ran.notes == {"rewound_to": expected}
    assert len(script.states) == 4, "the forget error of f_O and of every epoch is looked at, once"
    assert equal_states(script.states[0], state(trained()))
    assert equal_states(state(unlearned), script.states[expected])
    assert equal_states(script.at_val, script.states[-1]), "the validation error is the final model's"
    (judged,) = script.val_parts
    labels = DATA["val"].labels
    assert judged.labels.tolist() == labels[labels < 2].tolist(), "only classes that occur in the forget set count"
    assert torch.equal(everything(judged)[0], everything(DATA["val"])[0][labels < 2])


def test_scrub_without_rewinding_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Problem, "error", lambda *_: pytest.fail("an evaluation that nobody needs"))
    assert execute_on("scrub", trained(), DATA, **SCRUB)[1].notes == {}


def test_scrub_says_so_where_no_validation_sample_can_judge_the_forget_set() -> None:
    others = DATA["val"].subset((DATA["val"].labels >= 2).nonzero().flatten())
    with pytest.raises(NotApplicable, match="validation"):
        execute_on("scrub", trained(), {**TWO_CLASSES, "val": others}, **{**SCRUB, "rewind": True})


def test_the_teacher_of_scrub_stays_as_it_is() -> None:
    check_teacher_stays("scrub", **SCRUB)
