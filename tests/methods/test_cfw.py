"""CFW against a plain loop, and which convolutions its noise reaches."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.data.loader import Part
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import CLASSES, model
from tests.methods.oracles import (
    DATA,
    RETAIN,
    SEED,
    PlainSGD,
    close,
    cosine,
    everything,
    passes_of,
    run,
    run_by_epoch,
    shuffled,
)

pytestmark = pytest.mark.usefixtures("double_precision")


CFW = {"lr": 0.05, "weight_decay": 0.01, "batch_size": 32, "sigma_start": 0.6, "sigma_end": 0.2, "scope": "stem"}


def unbalanced() -> dict[str, Part]:
    """Without most retain samples of class 0, so that class weights differ widely."""
    labels = DATA["retain"].labels.tolist()
    few = [index for index, label in enumerate(labels) if label == 0][3:]
    return {**DATA, "retain": DATA["retain"].subset([index for index in range(RETAIN) if index not in few])}


def noisy_weights(net: nn.Module, scope: str) -> list[Tensor]:
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    return [layer.weight for layer in (layers if scope == "all" else layers[:1])]


def cfw_reference(original: nn.Module, data: dict[str, Part], epochs: int, scope: str) -> nn.Module:
    net, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    x, y = everything(data["retain"])
    optimizer, counts = PlainSGD(net, CFW["weight_decay"]), [y.tolist().count(label) for label in range(CLASSES)]

    def noise(sigma: float) -> None:
        with torch.no_grad():
            for weight in noisy_weights(net, scope):
                weight.add_(sigma * torch.randn_like(weight))

    with torch.random.fork_rng():
        torch.manual_seed(global_seed(SEED))
        noise(CFW["sigma_start"])
        for epoch in range(epochs):
            if epoch == epochs - 1:
                noise(CFW["sigma_end"])
            for images, labels in shuffled((x, y), CFW["batch_size"], generator):
                losses = -F.log_softmax(net(images), 1)[range(len(labels)), labels]
                weighted = [len(y) / (CLASSES * counts[c]) * loss for c, loss in zip(labels, losses, strict=True)]
                optimizer.step(sum(weighted) / len(weighted), cosine(CFW["lr"], epoch, epochs))
    return net


@pytest.mark.parametrize(("epochs", "scope"), [(3, "stem"), (1, "stem"), (2, "all")])
def test_cfw_confuses_fine_tunes_and_weakens(epochs: int, scope: str) -> None:
    original, data = model().double(), unbalanced()
    close(
        run("cfw", original, data, **{**CFW, "epochs": epochs, "scope": scope}),
        cfw_reference(original, data, epochs, scope),
    )


def test_cfw_gives_each_class_its_weight_per_sample() -> None:
    """Class weights after the mean would multiply a scalar: the gradient of a sample would not know its class."""
    original, data = model().double(), unbalanced()
    x, y = everything(data["retain"])
    still = {"sigma_start": 0.0, "sigma_end": 0.0, "weight_decay": 0.0, "batch_size": len(y), "epochs": 1}
    moved = run("cfw", original, data, **{**CFW, **still})
    net = copy.deepcopy(original).train()
    probabilities = net(x).softmax(1)
    gradient = torch.zeros(CLASSES, dtype=torch.float64)
    for row, label in zip(probabilities.detach(), y.tolist(), strict=True):
        gradient += (row - F.one_hot(torch.tensor(label), CLASSES)) / (CLASSES * int((y == label).sum()))
    change = moved.get_parameter("head.bias") - original.get_parameter("head.bias")
    torch.testing.assert_close(change, -CFW["lr"] * gradient, rtol=1e-6, atol=1e-8)


STEMS = {
    "smallnet": {"stem.0.weight"},
    "resnet18": {"conv1.weight"},
    "tinyvit": {"patch_embed.conv1.conv.weight", "patch_embed.conv2.conv.weight"},
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", STEMS)
@pytest.mark.parametrize("scope", ["stem", "all"])
def test_cfw_noise_reaches_the_right_convolutions_of_every_architecture(arch: str, scope: str) -> None:
    """At rate 0 only the noise moves weights; E = 1 puts both noises before the one epoch."""
    original = model(arch).double()
    data = {name: part.subset(range(4)) for name, part in DATA.items()}
    unlearned = run("cfw", original, data, arch, **{**CFW, "lr": 0.0, "epochs": 1, "scope": scope})
    changes = {
        name: (value - original.get_parameter(name)).detach().flatten()
        for name, value in unlearned.named_parameters()
        if not torch.equal(value, original.get_parameter(name))
    }
    every = {f"{name}.weight" for name, layer in original.named_modules() if isinstance(layer, nn.Conv2d)}
    assert set(changes) == (STEMS[arch] if scope == "stem" else every)
    noise, sigma = torch.cat(list(changes.values())), math.hypot(CFW["sigma_start"], CFW["sigma_end"])
    assert noise.std().item() == pytest.approx(sigma, rel=4 / math.sqrt(2 * len(noise)))
    assert noise.mean().item() == pytest.approx(0, abs=4 * sigma / math.sqrt(len(noise)))


def test_cfw_weakens_before_the_last_epoch_only() -> None:
    original = model().double()
    _, seen = run_by_epoch("cfw", original, **{**CFW, "lr": 0.0, "epochs": 3})
    first, second, third = (epoch["stem.0.weight"] for epoch in seen)
    assert torch.equal(first, second)
    assert (first - original.get_parameter("stem.0.weight")).std().item() == pytest.approx(0.6, rel=0.15)
    assert (third - second).std().item() == pytest.approx(0.2, rel=0.15)


def test_cfw_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "cfw", **{**CFW, "epochs": 3}) == [RETAIN] * 3
