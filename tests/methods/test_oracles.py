"""Each method against a slow, plain reference that imports nothing from methods or ops."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.composition import load_method
from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods import msg
from deepunlearn.methods.ct import kernels, transpose
from deepunlearn.running import execute
from deepunlearn.testing.small import CLASSES, make_problem, model, parts, runtime

DATA = parts()
SGD = {"lr": 0.05, "weight_decay": 0.01}


def run(name: str, original: nn.Module, seed: int = 5, **params: float) -> nn.Module:
    here = runtime()
    return execute(
        load_method(name)(**params), lambda g: make_problem(original, "smallnet", g, DATA, here), here, seed
    )[0]


def epoch_batches(generator: torch.Generator, size: int) -> list[tuple[Tensor, Tensor]]:
    """The retain set in a fresh random order; the shuffling is the loader's, the arithmetic is not."""
    return list(DATA["retain"].batches(size, generator))


def plain_sgd_step(net: nn.Module, velocity: dict[str, Tensor], lr: float, decay: float) -> None:
    """w <- w - lr v, v <- 0.9 v + (g + decay w), one tensor at a time."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None
            change = parameter.grad + decay * parameter
            velocity[name] = 0.9 * velocity[name] + change if name in velocity else change
            parameter.sub_(lr * velocity[name])


def close(one: nn.Module, other: nn.Module) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-4, atol=1e-5, msg=name)


def cosine(lr: float, epoch: int, epochs: int) -> float:
    return lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def test_ft() -> None:
    original = model()
    expected, generator, velocity = copy.deepcopy(original), torch.Generator().manual_seed(5), {}
    expected.train()
    for epoch in range(3):
        for x, y in epoch_batches(generator, 32):
            expected.zero_grad()
            F.cross_entropy(expected(x), y).backward()
            plain_sgd_step(expected, velocity, cosine(0.05, epoch, 3), 0.01)
    close(run("ft", original, batch_size=32, epochs=3, **SGD), expected)


def test_ct_transposes_then_fine_tunes() -> None:
    original = model()
    turned = copy.deepcopy(original)
    with torch.no_grad():
        for layer in turned.modules():
            if isinstance(layer, nn.Conv2d):
                for out in range(layer.out_channels):
                    for into in range(layer.in_channels):
                        layer.weight[out, into] = layer.weight[out, into].clone().T
    close(run("ct", original, batch_size=32, epochs=2, **SGD), run("ft", turned, batch_size=32, epochs=2, **SGD))


def test_ct_refuses_a_model_without_kernels_to_transpose() -> None:
    with pytest.raises(NotApplicable, match="nothing to transpose"):
        kernels(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 2)))


def test_ct_keeps_the_parameter_objects() -> None:
    net = model()
    weight = next(layer.weight for layer in net.modules() if isinstance(layer, nn.Conv2d))
    pointer = weight.data_ptr()
    transpose([weight])
    assert weight.data_ptr() == pointer


def mean_gradient(net: nn.Module, samples: list[tuple[Tensor, Tensor]], weight: nn.Parameter) -> Tensor:
    """Per-sample gradients, averaged: slow, and blind to batch sizes."""
    gradients = []
    for x, y in samples:
        for one, label in zip(x, y, strict=True):
            gradients.append(torch.autograd.grad(F.cross_entropy(net(one[None]), label[None]), weight)[0])
    return torch.stack(gradients).mean(0)


def msg_masks(original: nn.Module, generator: torch.Generator, rate: float) -> dict[str, Tensor]:
    """The weights to re-draw, by name: the fraction with the smallest gradient difference in each convolution."""
    net = copy.deepcopy(original).eval().requires_grad_(True)
    order = torch.randperm(len(DATA["retain"]), generator=generator)[: len(DATA["forget"])]
    sample, forget = DATA["retain"].subset(order), DATA["forget"]
    masks = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            difference = mean_gradient(net, list(sample.batches(16)), layer.weight) - mean_gradient(
                net, list(forget.batches(16)), layer.weight
            )
            flat = difference.abs().flatten().tolist()
            lowest = sorted(range(len(flat)), key=lambda index: flat[index])[: round(rate * len(flat))]
            mask = torch.zeros(len(flat), dtype=torch.bool)
            mask[lowest] = True
            masks[f"{name}.weight"] = mask.view(layer.weight.shape)
    return masks


def msg_steps(net: nn.Module, masks: dict[str, Tensor], generator: torch.Generator, lr: float, epochs: int) -> None:
    """Fine-tuning with damped gradients; the rate rises over ceil(E / 2) epochs and would be 0 at epoch E + 1."""
    velocity: dict[str, Tensor] = {}
    rise = -(-epochs // 2)
    net.train()
    for epoch in range(1, epochs + 1):
        rate = lr * epoch / rise if epoch <= rise else lr * (epochs + 1 - epoch) / (epochs + 1 - rise)
        for x, y in epoch_batches(generator, 32):
            net.zero_grad()
            F.cross_entropy(net(x), y).backward()
            for name, mask in masks.items():
                gradient = net.get_parameter(name).grad
                assert gradient is not None
                gradient[~mask] *= 0.1
            plain_sgd_step(net, velocity, rate, 0.01)


def test_msg_redraws_the_smallest_gradient_differences_and_damps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    original = model().requires_grad_(False).eval()
    drawn: list[Tensor] = []
    redraw = msg.redraw

    def recording(weight: nn.Parameter, where: Tensor) -> None:
        redraw(weight, where)
        drawn.append(weight.detach().clone())

    monkeypatch.setattr(msg, "redraw", recording)
    unlearned = run("msg", original, batch_size=32, epochs=3, init_rate=0.3, **SGD)

    generator = torch.Generator().manual_seed(5)
    masks = msg_masks(original, generator, 0.3)
    expected = copy.deepcopy(original).requires_grad_(True)
    with torch.no_grad():
        for (name, mask), fresh in zip(masks.items(), drawn, strict=True):
            kept = expected.get_parameter(name)
            assert torch.equal(fresh[~mask], kept[~mask]), "a weight that was to be kept was re-drawn"
            assert not torch.isclose(fresh[mask], kept[mask]).any(), "a weight that was to be re-drawn was kept"
            kept.copy_(fresh)
    for _ in ("retain sample", "forget set"):  # the gradient pass shuffles both, which are equally large
        torch.randperm(len(DATA["forget"]), generator=generator)
    msg_steps(expected, masks, generator, 0.05, 3)
    close(unlearned, expected)


def test_msg_draws_kaiming_normal_values_by_fan_out() -> None:
    layer = nn.Conv2d(16, 64, 3)
    torch.manual_seed(0)
    msg.redraw(layer.weight, torch.ones_like(layer.weight, dtype=torch.bool))
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)
    assert layer.weight.mean().item() == pytest.approx(0, abs=0.003)


def test_msg_refuses_a_model_without_convolutions() -> None:
    here = runtime()

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3 * 32 * 32, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1))

    original = Flat()
    with pytest.raises(NotApplicable, match="convolution"), here.seeded(0) as generator:
        problem = make_problem(model(), "smallnet", generator, DATA, here)
        problem.model = original
        next(load_method("msg")(lr=0.1, weight_decay=0.0, batch_size=32, epochs=1, init_rate=0.3).run(problem))
