"""What every architecture must keep."""

from __future__ import annotations

import copy

import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.shares import REMEDY, are_shares
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.schema import Features

SIZE, CLASSES = 32, 3


def images(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def model(arch: ArchConfig, seed: int = 0, classes: int = CLASSES) -> nn.Module:
    return archs.build(arch, classes, SIZE, seed).eval()


def logits(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = net(x)
    assert isinstance(out, torch.Tensor)
    return out


def test_it_gives_finite_logits_for_any_number_of_classes(arch: ArchConfig) -> None:
    for classes in (CLASSES, 10):
        out = logits(model(arch, classes=classes), images())
        assert out.shape == (4, classes) and bool(torch.isfinite(out).all())
        assert not are_shares(out), f"it gives probabilities: {REMEDY}"


def test_weights_depend_on_the_seed_alone(arch: ArchConfig) -> None:
    before = torch.get_rng_state()
    first, again, other = (model(arch, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state()), "the caller's random state was changed"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_its_parts_are_its_own_and_as_many_as_it_says(arch: ArchConfig) -> None:
    net = model(arch)
    anatomy, own = archs.anatomy_of(arch, net), {id(parameter) for parameter in net.parameters()}
    named = (parameter for part in (*anatomy.stem, *anatomy.blocks, anatomy.head) for parameter in part.parameters())
    assert all(id(parameter) in own for parameter in named), "a part is a copy"
    assert isinstance(anatomy.head, nn.Linear) and anatomy.head.out_features == CLASSES
    assert arch.blocks in (None, len(anatomy.blocks)), "blocks: in the YAML is another number"
    held = [{id(parameter) for parameter in module.parameters()} for module in (*anatomy.blocks, anatomy.head)]
    assert len(set().union(*held)) == sum(map(len, held)), "blocks and head share parameters"


def test_the_image_reaches_the_logits_and_the_loss_every_parameter(arch: ArchConfig) -> None:
    net = model(arch)
    assert not torch.equal(logits(net, images(seed=0)), logits(net, images(seed=1)))
    net.train()
    nn.functional.cross_entropy(net(images(8)), torch.arange(8) % CLASSES).backward()
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None], "never trained"


def test_an_image_is_judged_apart_from_those_beside_it(arch: ArchConfig) -> None:
    net, x = model(arch), images()
    assert torch.allclose(logits(net, x)[:1], logits(net, x[:1]), atol=1e-4)


def test_a_copy_and_stored_weights_give_the_same_logits(arch: ArchConfig) -> None:
    net, other = model(arch, 0), model(arch, 1)
    other.load_state_dict(net.state_dict())
    for same in (copy.deepcopy(net), other):
        assert torch.equal(logits(net, images()), logits(same, images()))


def test_it_takes_the_rows_of_tables_if_it_says_so(arch: ArchConfig) -> None:
    if not arch.tables:
        return
    net = archs.build(arch, CLASSES, Features(5), 0)
    rows = torch.rand(8, 5)
    assert logits(net.eval(), rows).shape == (8, CLASSES)
    nn.functional.cross_entropy(net.train()(rows), torch.arange(8) % CLASSES).backward()
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None], "never trained"


def test_it_draws_while_training_only_if_it_says_so(arch: ArchConfig) -> None:
    net = model(arch).train()
    before = torch.get_rng_state()
    logits(net, images(8))
    drawn = not torch.equal(before, torch.get_rng_state())
    assert not drawn or arch.stochastic, "give stochastic: true in the YAML"
