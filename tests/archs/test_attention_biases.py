"""timm's networks that keep attention biases in evaluation mode, under methods that work in that mode."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from timm.models.levit import Levit
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn

import deepunlearn
from deepunlearn import archs
from deepunlearn.archs.attention_biases import KEPT, gather_anew, keep_again
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.params import Value
from deepunlearn.ops.gradient_powers import mean_over_samples
from deepunlearn.ops.per_sample import parameters_of
from deepunlearn.testing.small import equal_states, state
from tests.networks import images

CLASSES = 4
RETAIN, FORGET, VAL = (images(count, 32, CLASSES, 0.25, seed) for count, seed in ((16, 1), (8, 2), (8, 3)))


def tiny_vit() -> nn.Module:
    torch.manual_seed(0)
    net = TinyVit(
        num_classes=CLASSES, embed_dims=(4, 4, 8, 8), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_sizes=[2] * 4
    )
    return net.eval()


def levit() -> nn.Module:
    torch.manual_seed(0)
    net = Levit(
        img_size=32, num_classes=CLASSES, embed_dim=(16, 16, 16), key_dim=4, depth=(1, 1, 1), num_heads=(2, 2, 2)
    )
    return net.eval()


def kept(net: nn.Module) -> list[dict[str, Tensor]]:
    return [getattr(module, KEPT) for module in net.modules() if getattr(module, KEPT, None)]


@pytest.mark.parametrize("build", [tiny_vit, levit])
def test_in_evaluation_mode_biases_are_those_of_the_weights_now(build: Callable[[], nn.Module]) -> None:
    net, plain, (x, y) = gather_anew(build()), build(), RETAIN
    for _ in range(2):
        F.cross_entropy(net(x), y).backward()
        copy.deepcopy(net)
        with torch.no_grad():
            for own, other in zip(net.parameters(), plain.parameters(), strict=True):
                other.copy_(own.sub_(own.grad, alpha=0.1))
    torch.testing.assert_close(net(x), plain(x), msg="old biases")
    assert kept(plain) and not kept(net)
    assert kept(keep_again(net)) == [] and net(x).requires_grad and kept(net)


def test_those_of_a_sweep_keep_none() -> None:
    network = ArchConfig(name="t", title="", module="deepunlearn.archs.timm_models", model="levit_128s")
    net = archs.build(network, CLASSES, 224, 0).eval()
    F.cross_entropy(net(torch.rand(1, 3, 224, 224)), torch.tensor([0])).backward()
    assert not kept(net)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ngplus", {"epochs": 1, "batch_size": 8}),
        ("jit", {"epochs": 2, "batch_size": 4}),
        ("iu", {"samples": 4}),
        ("msg", {"epochs": 1}),
        ("sfron", {"steps": 4}),
    ],
)
def test_the_library_unlearns_with_it_and_leaves_nothing_on_it(method: str, params: dict[str, Value]) -> None:
    net = tiny_vit()
    net(RETAIN[0])  # keeps biases with their graph, which cannot be copied
    after = deepunlearn.unlearn(net, retain=RETAIN, forget=FORGET, val=VAL, method=method, **params)
    before, now = state(net), state(after)
    assert kept(net) and not equal_states(before, now)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in after.modules())


def test_importance_of_biases_is_that_of_gradients_one_by_one() -> None:
    net, plain, (x, y) = gather_anew(tiny_vit()), tiny_vit(), RETAIN
    found = mean_over_samples(net, parameters_of(net), lambda size: iter([(x, y)]), F.cross_entropy, 2)
    wanted = {name: torch.zeros_like(one) for name, one in plain.named_parameters()}
    for one, label in zip(x.split(1), y.split(1), strict=True):
        loss = F.cross_entropy(plain.train().eval()(one), label)
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        for name, gradient in zip(wanted, gradients, strict=True):
            wanted[name] += gradient**2 / len(y)
    biases = [name for name in found if name.endswith("attention_biases")]
    assert biases and all(wanted[name].any() for name in biases)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-9, msg=name)
