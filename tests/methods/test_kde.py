"""KDE against a plain loop, and what it gives stem and head."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.archs.small import PARTS as SMALL
from deepunlearn.composition import load_method
from deepunlearn.testing.small import equal_states, make_problem, model, runtime, state
from tests.methods.oracles import (
    DATA,
    SEED,
    STILL,
    PlainSGD,
    changed,
    close,
    confident,
    cosine,
    divergence,
    fresh_network,
    mean_cross_entropy,
    run_by_epoch,
    same,
    small_now,
    softmax,
    take,
)

KDE = {
    "warmup_lr": 0.03,
    "warmup_weight_decay": 0.02,
    "warmup_epochs": 2,
    "lr": 0.02,
    "weight_decay": 0.01,
    "epochs": 3,
    "temperature": 3.0,
    "batch_size": 16,
}


def kde_loss(teacher: Tensor, student: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Soft cross-entropy + cross-entropy + KL, none of them times T^2."""
    soft = -(softmax(teacher / temperature) * softmax(student / temperature).log()).sum() / len(y)
    return soft + mean_cross_entropy(student, y) + divergence(teacher, student, temperature)


def kde_expected(original: nn.Module, epochs: int) -> nn.Module:
    net = copy.deepcopy(original).requires_grad_(True)
    take(net, fresh_network(small_now), ("stem.0.", "head."))
    generator, warmup = torch.Generator().manual_seed(SEED), PlainSGD(net.train(), 0.02)
    for _ in range(2):
        for x, _ in DATA["val"].batches(16, generator):
            warmup.step(divergence(original(x), net(x), 3.0), 0.03)
    optimizer = PlainSGD(net, 0.01)
    for epoch in range(epochs):
        for x, y in DATA["retain"].batches(16, generator):
            optimizer.step(kde_loss(original(x), net(x), y, 3.0), cosine(0.02, epoch, epochs))
    return net


def test_kde_warms_up_then_distils() -> None:
    original = confident(model())
    before = state(original)
    unlearned, seen = run_by_epoch("kde", original, **KDE)
    close(unlearned, kde_expected(original, 3))
    close(seen[1], kde_expected(original, 0))
    assert equal_states(before, state(original)) and not original.training, "the teacher was touched"


def test_kde_warms_up_on_validation_data_alone_and_without_its_labels() -> None:
    original = confident(model())
    other = {**DATA, "retain": DATA["forget"], "val": DATA["val"].with_labels(DATA["val"].labels * 0)}
    one, two = run_by_epoch("kde", original, **KDE)[1], run_by_epoch("kde", original, other, **KDE)[1]
    assert equal_states(one[1], two[1]) and not equal_states(one[2], two[2])


def test_kde_gives_stem_and_head_and_nothing_else_the_values_of_a_fresh_network() -> None:
    original = confident(model())
    after = run_by_epoch("kde", original, **{**KDE, "warmup_lr": STILL, "lr": STILL})[1][0]
    parameters = {name for name, _ in original.named_parameters()}
    assert changed(state(original), after) & parameters == {"stem.0.weight", "head.weight", "head.bias"}
    assert same(after, state(fresh_network(small_now)), ("stem.0.", "head."))


def test_kde_resets_running_statistics_that_belong_to_the_stem() -> None:
    original = confident(model())
    here = runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, DATA, here)
        problem.anatomy = Anatomy(problem.model, {**SMALL, "stem": "stem"})
        tracked: list[Tensor] = []
        problem.model.stem[1].register_forward_pre_hook(
            lambda norm, _: tracked.append(torch.stack([norm.running_mean.clone(), norm.running_var.clone()]))
        )
        next(load_method("kde")(**KDE).run(problem))
    assert torch.equal(tracked[0][0], torch.zeros(16)) and torch.equal(tracked[0][1], torch.ones(16))
