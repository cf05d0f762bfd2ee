"""PRMQ, KDE, RNI, CF-k and EU-k, which re-initialise or freeze layers, against slow, plain references."""

from __future__ import annotations

import copy
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.archs.small import PARTS as SMALL
from deepunlearn.composition import load_method
from deepunlearn.core.errors import ConfigError
from deepunlearn.data.loader import Part
from deepunlearn.methods import prmq
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute, working_copy
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import ARCHS, CLASSES, equal_states, make_problem, model, parts, runtime, state

DATA = parts()
SEED = 5
KEPT_PER_CLASS = (24, 16, 9, 7)  # uneven, so that class weights matter

State = dict[str, Tensor]


def skewed(part: Part) -> Part:
    positions = [(part.labels == label).nonzero().flatten()[:count] for label, count in enumerate(KEPT_PER_CLASS)]
    return part.subset(torch.cat(positions))


UNEVEN = {**DATA, "retain": skewed(DATA["retain"])}


def trained(net: nn.Module) -> nn.Module:
    """As if trained: running statistics that differ from a batch's, and confident, varied predictions."""
    torch.manual_seed(1)
    net.train()
    with torch.no_grad():
        for x, _ in DATA["retain"].batches(32):
            net(x + 0.5 * torch.randn(1))
        net.get_submodule("head").weight.mul_(15)
    return net.requires_grad_(False).eval()


class Odd(nn.Module):
    """13 parameter tensors outside normalisation layers, and names that say the opposite of what a layer is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm_scale = nn.Parameter(torch.ones(8, 1, 1))
        norms = (nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.BatchNorm2d(8))
        self.blocks = nn.ModuleList(
            nn.Sequential(OrderedDict(bn=nn.Conv2d(8, 8, 3, padding=1), conv=norm, act=nn.ReLU())) for norm in norms
        )
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x) * self.norm_scale
        for block in self.blocks:
            maps = block(maps)
        return self.head(maps.mean(dim=(2, 3)))


OUTSIDE = {
    *(f"{layer}.{kind}" for layer in ("stem", "head") for kind in ("weight", "bias")),
    *(f"blocks.{index}.bn.{kind}" for index in range(4) for kind in ("weight", "bias")),
    "norm_scale",
}
INSIDE = {f"blocks.{index}.conv.{kind}" for index in range(4) for kind in ("weight", "bias")}


def odd(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return runtime().place(Odd())


def odd_parts(net: nn.Module) -> Anatomy:
    return Anatomy(net, {"stem": "stem", "blocks": [f"blocks.{index}" for index in range(4)], "head": "head"})


def problem_of(original: nn.Module, generator: torch.Generator, data: dict[str, Part], arch: str) -> Problem:
    here = runtime()
    if arch != "odd":
        return make_problem(original, arch, generator, data, here)
    problem = make_problem(model(), "smallnet", generator, data, here)
    problem.original, problem.model = original, working_copy(original)
    problem.parts, problem._fresh = odd_parts(problem.model), lambda: here.place(Odd())
    return problem


def run(
    name: str, original: nn.Module, data: dict[str, Part] | None = None, arch: str = "smallnet", **params: float
) -> tuple[nn.Module, list[State]]:
    """The unlearned model and the state at each yield."""
    seen: list[State] = []
    unlearned, _ = execute(
        load_method(name)(**params),
        lambda generator: problem_of(original, generator, data or DATA, arch),
        runtime(),
        SEED,
        lambda _, net: seen.append(state(net)),
    )
    return unlearned, seen


def fresh_network(build: Callable[[], nn.Module]) -> nn.Module:
    """The network that is built first under the run's global random state."""
    torch.manual_seed(global_seed(SEED))
    return build()


def odd_now() -> nn.Module:
    return runtime().place(Odd())


def small() -> nn.Module:
    return runtime().place(archs.build(ARCHS["smallnet"], CLASSES, 32))


def take(target: nn.Module, source: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Copy every entry of the state dict, buffers included, whose name starts with one of `prefixes`."""
    with torch.no_grad():
        for name, value in target.state_dict().items():
            if name.startswith(prefixes):
                value.copy_(source.state_dict()[name])


def plain_step(net: nn.Module, velocity: State, lr: float, gradient: Callable[[str, nn.Parameter], Tensor]) -> None:
    """w <- w - lr v, v <- 0.9 v + gradient(w), for the tensors that have a gradient."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.grad is None:
                continue
            change = gradient(name, parameter)
            velocity[name] = 0.9 * velocity[name] + change if name in velocity else change
            parameter.sub_(lr * velocity[name])


def decayed(decay: float) -> Callable[[str, nn.Parameter], Tensor]:
    def gradient(_: str, parameter: nn.Parameter) -> Tensor:
        assert parameter.grad is not None
        return parameter.grad + decay * parameter

    return gradient


def close(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


def same(one: State, other: State, prefixes: tuple[str, ...]) -> bool:
    chosen = [name for name in one if name.startswith(prefixes)]
    assert chosen
    return all(torch.equal(one[name], other[name]) for name in chosen)


def changed(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def mean_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return -torch.stack([row.log_softmax(0)[label] for row, label in zip(logits, y, strict=True)]).mean()


def softmax(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


# ------------------------------------------------------------------------------------------------------------- PRMQ

PRMQ = {"lr": 0.02, "weight_decay": 0.01, "batch_size": 16, "epochs": 2.5, "amount": 0.9}


def check_pruning(before: State, after: State, amount: float) -> None:
    """Of all convolution and linear entries, the smallest were re-drawn below 1 / sqrt(fan_in), or 0 for a bias."""
    names = [name for name in before if name.endswith("weight") and before[name].ndim > 1]
    names += [name.replace("weight", "bias") for name in names if name.replace("weight", "bias") in before]
    entries = sorted(
        (abs(value), name, at) for name in names for at, value in enumerate(before[name].reshape(-1).tolist())
    )
    gone: dict[str, list[int]] = {name: [] for name in names}
    for _, name, at in entries[: round(amount * len(entries))]:
        gone[name].append(at)
    for name in names:
        old, new, pruned = (
            before[name].reshape(-1),
            after[name].reshape(-1),
            torch.zeros(before[name].numel(), dtype=bool),
        )
        pruned[gone[name]] = True
        assert torch.equal(new[~pruned], old[~pruned]), f"{name}: an entry that was to be kept was pruned"
        if name.endswith("bias"):
            assert (new[pruned] == 0).all(), f"{name}: a pruned bias must stay 0"
        else:
            check_uniform(new[pruned], 1 / math.sqrt(math.prod(before[name].shape[1:])))
    assert changed(before, after) <= set(names), "only convolutions and linear layers are pruned"


def check_uniform(values: Tensor, bound: float) -> None:
    assert (values.abs() <= bound).all()
    if len(values) > 300:
        assert values.abs().max() > 0.97 * bound
        assert values.var().item() == pytest.approx(bound**2 / 3, rel=0.15)
        assert abs(values.mean().item()) < 0.15 * bound


def entropies(logits: Tensor) -> Tensor:
    probabilities = softmax(logits)
    return -(probabilities * probabilities.log()).sum(1)


def prmq_loss(logits: Tensor, teacher: Tensor, y: Tensor, weights: list[float]) -> Tensor:
    """sum_i w_i l_i / sum_i w_i + mean_i (H_i - H'_i)^2."""
    total, weight = torch.zeros(()), 0.0
    for row, label in zip(logits, y.tolist(), strict=True):
        total = total - weights[label] * row.log_softmax(0)[label]
        weight += weights[label]
    return total / weight + ((entropies(logits) - entropies(teacher)) ** 2).sum() / len(y)


def prmq_steps(net: nn.Module, original: nn.Module, data: Part, steps: int) -> None:
    generator, velocity = torch.Generator().manual_seed(SEED), {}
    weights = [count**-0.1 for count in KEPT_PER_CLASS]
    net.train()
    batches: Iterator[tuple[Tensor, Tensor]] = iter(())
    for _ in range(steps):
        batch = next(batches, None)
        if batch is None:
            batches = iter(data.batches(16, generator))
            batch = next(batches)
        x, y = batch
        net.zero_grad()
        prmq_loss(net(x), original(x), y, weights).backward()
        plain_step(net, velocity, 0.02, decayed(0.01))


def pruned_layers(net: nn.Module) -> list[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def record(monkeypatch: pytest.MonkeyPatch) -> tuple[list[State], list[State]]:
    """The layers after pruning, by their place among all layers, and the whole model before rounding."""
    pruned: list[State] = []
    unrounded: list[State] = []
    redraw, quantise = prmq.prune_and_redraw, prmq.quantise

    def recording_redraw(layers: list[Any], amount: float) -> None:
        redraw(layers, amount)
        pruned.append(state(nn.ModuleList(layers)))

    def recording_quantise(net: nn.Module) -> None:
        unrounded.append(state(net))
        quantise(net)

    monkeypatch.setattr(prmq, "prune_and_redraw", recording_redraw)
    monkeypatch.setattr(prmq, "quantise", recording_quantise)
    return pruned, unrounded


def with_biases(net: nn.Module, *values: float) -> nn.Module:
    with torch.no_grad():
        net.get_submodule("head").bias.copy_(torch.tensor(values))
    return net


def test_prmq_prunes_matches_and_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    original = with_biases(trained(model()), 1e-4, -1e-4, 9.0, -8.0)
    pruned, unrounded = record(monkeypatch)
    unlearned, seen = run("prmq", original, UNEVEN, **PRMQ)

    expected = copy.deepcopy(original).requires_grad_(True)
    nn.ModuleList(pruned_layers(expected)).load_state_dict(pruned[0])
    check_pruning(state(original), state(expected), 0.9)
    assert [value == 0 for value in expected.get_submodule("head").bias.tolist()] == [True, True, False, False]
    batches = math.ceil(sum(KEPT_PER_CLASS) / 16)
    prmq_steps(expected, original, UNEVEN["retain"], int(2.5 * batches))
    assert len(seen) == math.ceil(2.5) and len(unrounded) == 1
    close(unrounded[0], state(expected))
    parameters = dict(unlearned.named_parameters())
    for name, value in unrounded[0].items():
        assert torch.equal(unlearned.state_dict()[name], value.half().float() if name in parameters else value), name


@pytest.mark.parametrize(("epochs", "steps"), [(0.2, 0), (0.26, 1), (1.0, 4), (1.24, 4), (1.25, 5), (3.2, 12)])
def test_prmq_takes_int_of_epochs_times_batches_steps_and_rounds_at_last(epochs: float, steps: int) -> None:
    original = trained(model())
    unlearned, _ = run("prmq", original, UNEVEN, **{**PRMQ, "epochs": epochs})
    counted = unlearned.get_buffer("stem.1.num_batches_tracked") - original.get_buffer("stem.1.num_batches_tracked")
    assert counted == steps
    assert all(torch.equal(value, value.half().float()) for value in unlearned.parameters())


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_prmq_prunes_the_amount_over_all_layers_together(amount: float, monkeypatch: pytest.MonkeyPatch) -> None:
    original = trained(odd())
    pruned, _ = record(monkeypatch)
    run("prmq", original, UNEVEN, "odd", **{**PRMQ, "amount": amount, "epochs": 1.0})
    after = copy.deepcopy(original)
    nn.ModuleList(pruned_layers(after)).load_state_dict(pruned[0])
    check_pruning(state(original), state(after), amount)


def test_prmq_draws_by_the_fan_in_of_a_group() -> None:
    layer = nn.Conv2d(32, 64, 3, groups=8)
    torch.manual_seed(0)
    prmq.prune_and_redraw([layer], 1.0)
    check_uniform(layer.weight.detach().flatten(), 1 / math.sqrt(4 * 9))
    assert (layer.bias == 0).all()


# -------------------------------------------------------------------------------------------------------------- KDE

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


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return (p * (p.log() - q.log())).sum() / len(p)


def kde_loss(teacher: Tensor, student: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Soft cross-entropy + cross-entropy + KL, none of them times T^2."""
    soft = -(softmax(teacher / temperature) * softmax(student / temperature).log()).sum() / len(y)
    return soft + mean_cross_entropy(student, y) + divergence(teacher, student, temperature)


def kde_expected(original: nn.Module, epochs: int) -> nn.Module:
    net = copy.deepcopy(original).requires_grad_(True)
    take(net, fresh_network(small), ("stem.0.", "head."))
    net.train()
    generator, velocity = torch.Generator().manual_seed(SEED), {}
    for _ in range(2):
        for x, _ in DATA["val"].batches(16, generator):
            net.zero_grad()
            divergence(original(x), net(x), 3.0).backward()
            plain_step(net, velocity, 0.03, decayed(0.02))
    velocity = {}
    for epoch in range(epochs):
        rate = 0.02 * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for x, y in DATA["retain"].batches(16, generator):
            net.zero_grad()
            kde_loss(original(x), net(x), y, 3.0).backward()
            plain_step(net, velocity, rate, decayed(0.01))
    return net


def test_kde() -> None:
    original = trained(model())
    before = state(original)
    unlearned, seen = run("kde", original, **KDE)
    close(state(unlearned), state(kde_expected(original, 3)))
    close(seen[1], state(kde_expected(original, 0)))
    assert equal_states(before, state(original)) and not original.training, "the teacher was touched"


def test_kde_warms_up_on_validation_data_alone_and_without_its_labels() -> None:
    original = trained(model())
    other = {**DATA, "retain": DATA["forget"], "val": DATA["val"].with_labels(DATA["val"].labels * 0)}
    one, two = run("kde", original, **KDE)[1], run("kde", original, other, **KDE)[1]
    assert equal_states(one[1], two[1]) and not equal_states(one[2], two[2])


STILL = 1e-60  # a rate at which float32 weights stay as they are, those that are 0 included


def test_kde_gives_stem_and_head_and_nothing_else_the_values_of_a_fresh_network() -> None:
    original = trained(model())
    after = run("kde", original, **{**KDE, "warmup_lr": STILL, "lr": STILL})[1][0]
    parameters = {name for name, _ in original.named_parameters()}
    assert changed(state(original), after) & parameters == {"stem.0.weight", "head.weight", "head.bias"}
    assert same(after, state(fresh_network(small)), ("stem.0.", "head."))


def test_kde_resets_running_statistics_that_belong_to_the_stem() -> None:
    original = trained(model())
    here = runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, DATA, here)
        problem.parts = Anatomy(problem.model, {**SMALL, "stem": "stem"})
        tracked: list[Tensor] = []
        problem.model.stem[1].register_forward_pre_hook(
            lambda norm, _: tracked.append(torch.stack([norm.running_mean.clone(), norm.running_var.clone()]))
        )
        next(load_method("kde")(**KDE).run(problem))
    assert torch.equal(tracked[0][0], torch.zeros(16)) and torch.equal(tracked[0][1], torch.ones(16))


# -------------------------------------------------------------------------------------------------------------- RNI

RNI = {
    "lr": 0.02,
    "weight_decay": 0.01,
    "fine_lr": 0.03,
    "fine_weight_decay": 0.02,
    "batch_size": 16,
    "epochs": 5,
    "fine_epochs": 2,
    "reset_epochs": 1,
    "noise_ratio": 0.7,
    "noise": 0.3,
}


def rni_draw(names: list[str], generator: torch.Generator) -> list[str]:
    return [names[index] for index in torch.randperm(len(names), generator=generator)[:9].tolist()]


def rni_expected(original: nn.Module, data: Part) -> tuple[nn.Module, list[State]]:
    net = copy.deepcopy(original).requires_grad_(True)
    take(net, fresh_network(odd_now), ("head.",))
    outside = [name for name, _ in net.named_parameters() if name in OUTSIDE]
    generator, seen = torch.Generator().manual_seed(SEED), []
    net.train()
    for epoch in range(5):
        moving, lr, decay = OUTSIDE | INSIDE, 0.03, 0.02
        if epoch < 3:
            drawn = rni_draw(outside, generator)
            moving, lr, decay = {*drawn, *INSIDE}, 0.02, 0.01
            for name in drawn[: int(9 * 0.7)] if epoch >= 1 else []:
                with torch.no_grad():
                    net.get_parameter(name).add_(0.3 * torch.randn_like(net.get_parameter(name)))
        velocity: State = {}
        for x, y in data.batches(16, generator):
            net.zero_grad()
            mean_cross_entropy(net(x), y).backward()
            for name, parameter in net.named_parameters():
                parameter.grad = parameter.grad if name in moving else None
            plain_step(net, velocity, lr, decayed(decay))
        seen.append(state(net))
    return net, seen


def test_rni() -> None:
    original = trained(odd())
    unlearned, seen = run("rni", original, UNEVEN, "odd", **RNI)
    expected, wanted = rni_expected(original, UNEVEN["retain"])
    for one, other in zip(seen, wanted, strict=True):
        close(one, other)
    close(state(unlearned), state(expected))


def moves(original: nn.Module, start: State, seen: list[State]) -> list[set[str]]:
    """The names of the parameters that moved in each epoch."""
    parameters = {name for name, _ in original.named_parameters()}
    return [changed(before, after) & parameters for before, after in zip([start, *seen], seen, strict=False)]


def with_fresh_head(original: nn.Module, build: Callable[[], nn.Module]) -> State:
    start = copy.deepcopy(original)
    take(start, fresh_network(build), ("head.",))
    return state(start)


def test_rni_trains_nine_tensors_and_all_normalisation_then_everything() -> None:
    original = trained(odd())
    _, seen = run("rni", original, UNEVEN, "odd", **{**RNI, "noise": 0.0, "epochs": 8})
    epochs = moves(original, with_fresh_head(original, odd_now), seen)
    for moved in epochs[:6]:
        assert moved >= INSIDE and len(moved & OUTSIDE) == 9
    assert len({frozenset(moved) for moved in epochs[:6]}) > 1, "the same tensors in every epoch"
    assert epochs[6] == epochs[7] == OUTSIDE | INSIDE


@pytest.mark.parametrize(("ratio", "reset"), [(0.7, 1), (0.5, 0), (1.0, 3), (0.1, 0), (0.12, 2)])
def test_rni_noises_int_of_nine_times_the_ratio_from_reset_epochs_on(ratio: float, reset: int) -> None:
    original = trained(odd())
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": ratio, "reset_epochs": reset, "epochs": 6}
    _, seen = run("rni", original, UNEVEN, "odd", **still)
    start = with_fresh_head(original, odd_now)
    epochs = moves(original, start, seen)
    assert [len(moved) for moved in epochs] == [0] * reset + [int(9 * ratio)] * (4 - reset) + [0, 0]
    assert all(moved <= OUTSIDE for moved in epochs), "a normalisation layer got noise"


def test_rni_noise_is_normal_with_the_given_deviation() -> None:
    original = trained(odd())
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": 1.0, "reset_epochs": 0, "epochs": 3}
    _, seen = run("rni", original, UNEVEN, "odd", **still)
    start = with_fresh_head(original, odd_now)
    noise = torch.cat([(seen[0][name] - start[name]).flatten() for name in changed(start, seen[0]) & OUTSIDE])
    assert noise.std().item() == pytest.approx(0.3, rel=0.1) and abs(noise.mean().item()) < 0.03
    assert (noise.abs() < 0.3).float().mean().item() == pytest.approx(0.683, abs=0.05)


def test_rni_uses_all_tensors_of_a_model_with_fewer_than_nine() -> None:
    original = trained(model())
    _, seen = run("rni", original, UNEVEN, **{**RNI, "noise": 0.0})
    epochs = moves(original, with_fresh_head(original, small), seen)
    assert all(moved == {name for name, _ in original.named_parameters()} for moved in epochs)
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": 0.5}
    noised = moves(original, with_fresh_head(original, small), run("rni", original, UNEVEN, **still)[1])
    assert [len(moved) for moved in noised] == [0, 4, 4, 0, 0]


# --------------------------------------------------------------------------------------------------- CF-k and EU-k

TAIL = {"lr": 0.02, "weight_decay": 0.2, "batch_size": 16, "epochs": 20, "decay": 0.5, "k": 1}


def rate_at(epoch: int) -> float:
    """20 epochs: the milestones are 10, 16 and 18, each in force from the epoch after it."""
    return 0.02 * (0.5 if epoch > 10 else 1.0) * (0.5 if epoch > 16 else 1.0) * (0.5 if epoch > 18 else 1.0)


def tail_expected(
    net: nn.Module, data: Part, tail: tuple[str, ...], pull: Callable[[str, nn.Parameter], Tensor]
) -> nn.Module:
    net.eval()
    for name in tail:
        net.get_submodule(name).train()
    generator, velocity = torch.Generator().manual_seed(SEED), {}
    for epoch in range(20):
        for x, y in data.batches(16, generator):
            net.zero_grad()
            mean_cross_entropy(net(x), y).backward()
            for name, parameter in net.named_parameters():
                parameter.grad = parameter.grad if name.split(".")[0] in tail else None
            plain_step(net, velocity, rate_at(epoch), pull)
    return net


@pytest.mark.parametrize(("k", "tail"), [(1, ("block2", "head")), (2, ("block1", "block2", "head"))])
def test_cfk(k: int, tail: tuple[str, ...]) -> None:
    original = trained(model())
    start = state(original)

    def pulled(name: str, parameter: nn.Parameter) -> Tensor:
        assert parameter.grad is not None
        return parameter.grad + 0.2 * (parameter - start[name])

    expected = tail_expected(copy.deepcopy(original).requires_grad_(True), UNEVEN["retain"], tail, pulled)
    close(state(run("cfk", original, UNEVEN, **{**TAIL, "k": k})[0]), state(expected))


@pytest.mark.parametrize(("k", "tail"), [(1, ("block2", "head")), (2, ("block1", "block2", "head"))])
def test_euk(k: int, tail: tuple[str, ...]) -> None:
    original = trained(model())
    start = copy.deepcopy(original).requires_grad_(True)
    take(start, fresh_network(small), tail)
    expected = tail_expected(start, UNEVEN["retain"], tail, decayed(0.2))
    close(state(run("euk", original, UNEVEN, **{**TAIL, "k": k})[0]), state(expected))


@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 10])
def test_the_rate_falls_after_the_milestone_and_not_at_it(name: str, epochs: int) -> None:
    """With decay 0 training ends with epoch int(.5 E), counted from 0."""
    original = trained(model())
    _, seen = run(name, original, UNEVEN, **{**TAIL, "epochs": epochs, "decay": 0.0})
    heads = [original.state_dict()["head.weight"], *(step["head.weight"] for step in seen)]
    moved = [not torch.equal(one, other) for one, other in itertools.pairwise(heads)]
    assert moved == [epoch <= epochs // 2 for epoch in range(epochs)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("arch", ["smallnet", "odd", "resnet18", "tinyvit"])
def test_the_rest_stays_bit_identical_and_the_tail_moves_with_its_statistics(name: str, arch: str) -> None:
    data = {**DATA, "retain": DATA["retain"].subset(range(16))}
    original = (odd() if arch == "odd" else model(arch)).requires_grad_(False).eval()
    where = odd_parts(original) if arch == "odd" else archs.parts(ARCHS[arch], original)
    mine = {id(value) for part in (where.blocks[-1], where.head) for value in part.state_dict(keep_vars=True).values()}
    tail = {key for key, value in original.state_dict(keep_vars=True).items() if id(value) in mine}
    unlearned = run(name, original, data, arch, **{**TAIL, "lr": 0.05, "epochs": 1})[0]
    assert changed(state(original), state(unlearned)) == tail


def test_euk_restarts_running_statistics_as_a_fresh_network_has_them() -> None:
    original = trained(model())
    at_first: list[State] = []
    here = runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, UNEVEN, here)
        problem.model.register_forward_pre_hook(lambda net, _: at_first.append(state(net)))
        next(load_method("euk")(**TAIL).run(problem))
    assert same(at_first[0], state(fresh_network(small)), ("block2.", "head."))
    assert same(at_first[0], state(original), ("stem.", "block1."))


@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("k", [3, 10])
def test_more_blocks_than_there_are_is_an_error_before_anything_changes(name: str, k: int) -> None:
    original, here = trained(model()), runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, UNEVEN, here)
        with pytest.raises(ConfigError, match=r"^k is larger") as caught:
            next(load_method(name)(**{**TAIL, "k": k}).run(problem))
    assert caught.value.given == k and "1 to 2" in str(caught.value) and "method.params.k" in str(caught.value)
    assert equal_states(state(problem.model), state(original))
