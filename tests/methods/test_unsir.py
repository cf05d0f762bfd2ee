"""UNSIR against plain loops, for classes and for samples."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.batches import training_batches
from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.methods.unsir import copies
from deepunlearn.testing.small import equal_states, problem, state
from tests.methods.oracles import (
    DATA,
    SEED,
    PlainSGD,
    close,
    everything,
    in_rounds,
    run,
    shuffled,
    student_of,
    trained,
)

pytestmark = pytest.mark.usefixtures("double_precision")

PARAMS: dict[str, Value] = {
    "variant": "auto",
    "noise_lr": "auto",
    "noise_steps": "auto",
    "lr": 0.02,
    "repair_lr": 0.005,
    "batch_size": 16,
    "epochs": 1,
}


@cache
def by_class() -> dict[str, Part]:
    """Classes 1 and 3 are forgotten whole; few samples are retained."""
    train = DATA["train"]
    whole = torch.isin(train.labels, torch.tensor([1, 3]))
    return {
        **DATA,
        "retain": train.subset((~whole).nonzero().flatten()[:24]),
        "forget": train.subset(whole.nonzero().flatten()),
    }


def double() -> nn.Module:
    return student_of(trained()).double()


def plain_adam(start: Tensor, loss: object, lr: float, steps: int) -> Tensor:
    """Kingma and Ba's algorithm 1 on an image."""
    noise, m, v = start.clone().requires_grad_(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, steps + 1):
        (gradient,) = torch.autograd.grad(loss(noise), noise)  # type: ignore[operator]
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        with torch.no_grad():
            noise -= lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    return noise.detach()


def drawn(generator: torch.Generator, count: int) -> Tensor:
    """float32 values, as they are drawn for a model of any precision."""
    return torch.randn((count, 3, 32, 32), generator=generator).double()


def mended(net: nn.Module, optimizer: PlainSGD, data: dict[str, Part], size: int, generator: torch.Generator) -> None:
    for x, y in shuffled(everything(data["retain"]), size, generator):
        optimizer.step(F.cross_entropy(net.train()(x), y), 0.005)


def test_unsir_for_samples() -> None:
    net, generator = double(), torch.Generator().manual_seed(SEED)
    impair, repair = PlainSGD(net, 0.0), PlainSGD(net, 0.0)
    for _ in range(2):
        retain = shuffled(everything("retain"), 32, generator)
        forget = in_rounds(everything("forget"), 32, generator)
        for x, y in retain:
            forget_x = next(forget)[0]
            forget_x = torch.stack([forget_x[at % len(forget_x)] for at in range(len(y))])
            known = net.eval()(forget_x).detach()
            noise = plain_adam(drawn(generator, len(y)), lambda n, k=known: -((net(n) - k) ** 2).mean(), 0.01, 5)
            net.train()
            impair.step(F.cross_entropy(net(noise), y) + F.cross_entropy(net(x), y), 0.02)
        mended(net, repair, DATA, 32, generator)
    close(run("unsir", double(), **{**PARAMS, "epochs": 2, "batch_size": 32}), net)


def test_unsir_for_classes() -> None:
    net, data, generator = double(), by_class(), torch.Generator().manual_seed(SEED)
    impair, repair = PlainSGD(net, 0.0), PlainSGD(net, 0.0)
    x, y = everything(data["retain"])
    images, labels = [x], [y]
    net.eval()
    for label in (1, 3):
        start, truth = drawn(generator, 8), torch.full((8,), label)
        noise = plain_adam(start, lambda n, t=truth: -F.cross_entropy(net(n), t) + 0.1 * (n**2).mean(), 0.1, 25)
        for _ in range(3):  # 30 and 31 samples of these are forgotten
            images.append(noise)
            labels.append(truth)
    all_images, all_labels = torch.cat(images), torch.cat(labels)
    net.train()
    for group in torch.randperm(len(all_labels), generator=generator).split(training_batches(len(all_labels), 8)):
        inside_first = torch.cat([group[group < len(x)], group[group >= len(x)]])
        impair.step(F.cross_entropy(net(all_images[inside_first]), all_labels[inside_first]), 0.02)
    mended(net, repair, data, 8, generator)
    close(run("unsir", double(), data, **{**PARAMS, "batch_size": 8}), net)


def test_the_noise_of_a_class_is_never_more_than_what_is_forgotten_of_it() -> None:
    """A class of CIFAR-10 has the published 20 copies; one of digits is not drowned in them."""
    assert [copies(samples, 64) for samples in (5000, 1280, 320, 126, 10)] == [20, 20, 5, 1, 1]


def test_the_variant_is_that_of_the_forget_set() -> None:
    quick = {**PARAMS, "noise_steps": 1}
    for data, variant in ((DATA, "sample"), (by_class(), "class")):
        auto, given = (state(run("unsir", double(), data, **{**quick, "variant": one})) for one in ("auto", variant))
        assert equal_states(auto, given)
    other = state(run("unsir", double(), by_class(), **{**quick, "variant": "sample"}))
    assert not equal_states(given, other)


def test_a_forget_set_that_is_no_class_is_refused_by_the_variant_for_classes() -> None:
    original = double()
    before = state(original)
    with pytest.raises(NotApplicable, match="whole classes") as caught:
        run("unsir", original, **{**PARAMS, "variant": "class"})
    assert "variant=sample" in str(caught.value) and equal_states(before, state(original))


def test_noise_is_learnt_in_evaluation_mode_whatever_the_mode_was_before() -> None:
    """In a second round the model comes from its repair: statistics stay, and the noise is that of evaluation mode."""
    like, learnt = torch.zeros(4, 3, 32, 32, dtype=torch.float64), []
    for training in (False, True):
        with problem(double()) as given:
            given.model.train(training)
            before = state(given.model)
            learnt.append(given.learnt_noise(like, lambda noise: given.model(noise).square().mean(), lr=0.1, steps=2))
            assert equal_states(before, state(given.model))
            assert all(weight.grad is None for weight in given.model.parameters())
    assert torch.equal(*learnt)


def test_only_real_numbers_have_noise() -> None:
    with problem(double()) as given, pytest.raises(NotApplicable, match="real numbers"):
        given.learnt_noise(torch.zeros(4, 7, dtype=torch.int64), lambda noise: noise.sum(), lr=0.1, steps=2)
