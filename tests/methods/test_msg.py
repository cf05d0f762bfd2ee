"""MSG against per-sample gradients and a plain loop."""

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
from deepunlearn.ops.convolutions import convolutions, weights_of
from deepunlearn.testing.small import CLASSES, make_problem, model, runtime
from tests.methods.oracles import DATA, FORGET, RETAIN, SEED, PlainSGD, close, everything, mean_gradient, run
from tests.networks import tied


def msg_masks(original: nn.Module, generator: torch.Generator, rate: float) -> dict[str, Tensor]:
    """The weights to re-draw, by name: the fraction with the smallest gradient difference in each convolution."""
    net = copy.deepcopy(original).eval().requires_grad_(True)
    order = torch.randperm(RETAIN, generator=generator)[:FORGET]
    x, y = everything("retain")
    retain, forget = mean_gradient(net, (x[order], y[order])), mean_gradient(net, everything("forget"))
    masks = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            flat = (retain[f"{name}.weight"] - forget[f"{name}.weight"]).abs().flatten().tolist()
            lowest = sorted(range(len(flat)), key=lambda index: flat[index])[: round(rate * len(flat))]
            mask = torch.zeros(len(flat), dtype=torch.bool)
            mask[lowest] = True
            masks[f"{name}.weight"] = mask.view(layer.weight.shape)
    return masks


def msg_steps(net: nn.Module, masks: dict[str, Tensor], generator: torch.Generator, lr: float, epochs: int) -> None:
    """Fine-tuning with damped gradients; the rate rises over ceil(E / 2) epochs and would be 0 at epoch E + 1."""
    optimizer, names = PlainSGD(net.train(), decay=0.01), [name for name, _ in net.named_parameters()]
    rise = -(-epochs // 2)
    for epoch in range(1, epochs + 1):
        rate = lr * epoch / rise if epoch <= rise else lr * (epochs + 1 - epoch) / (epochs + 1 - rise)
        for x, y in DATA["retain"].batches(32, generator):
            loss = F.cross_entropy(net(x), y)
            gradients = dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))
            for name, mask in masks.items():
                gradients[name][~mask] *= 0.1
            optimizer.move(gradients, rate)


def test_msg_redraws_the_smallest_gradient_differences_and_damps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    original = model().requires_grad_(False).eval()
    drawn: list[Tensor] = []
    redraw = msg.redraw

    def recording(weight: nn.Parameter, where: Tensor) -> None:
        redraw(weight, where)
        drawn.append(weight.detach().clone())

    monkeypatch.setattr(msg, "redraw", recording)
    unlearned = run("msg", original, lr=0.05, weight_decay=0.01, batch_size=32, epochs=3, init_rate=0.3)

    generator = torch.Generator().manual_seed(SEED)
    masks = msg_masks(original, generator, 0.3)
    expected = copy.deepcopy(original).requires_grad_(True)
    with torch.no_grad():
        for (name, mask), fresh in zip(masks.items(), drawn, strict=True):
            kept = expected.get_parameter(name)
            assert torch.equal(fresh[~mask], kept[~mask]), "a weight that was to be kept was re-drawn"
            assert not torch.isclose(fresh[mask], kept[mask]).any(), "a weight that was to be re-drawn was kept"
            kept.copy_(fresh)
    for _ in ("retain sample", "forget set"):  # the gradient pass shuffles both, which are equally large
        torch.randperm(FORGET, generator=generator)
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
    with pytest.raises(NotApplicable, match="convolution"), here.seeded(0) as generator:
        problem = make_problem(model(), "smallnet", generator, DATA, here)
        problem.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, CLASSES))
        next(load_method("msg")(lr=0.1, weight_decay=0.0, batch_size=32, epochs=1, init_rate=0.3).run(problem))


def test_msg_damps_a_weight_that_two_layers_share_once() -> None:
    weights = weights_of(convolutions(tied()))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    msg.damper(weights, [torch.zeros_like(weight, dtype=torch.bool) for weight in weights])()
    assert all(weight.grad is not None and weight.grad.unique().tolist() == pytest.approx([0.1]) for weight in weights)
