"""Sums of powers of single samples' gradients: as of gradients formed one by one, whatever the network does."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.archs import resnet
from deepunlearn.kernels import choice
from deepunlearn.methods.lfssd import squared_norm
from deepunlearn.ops import by_layer, gradient_powers
from deepunlearn.ops.by_layer import Factors, Gradients, Own
from deepunlearn.ops.gradient_powers import Power, PowerSums, fisher_diagonal, mean_over_samples, worth_it
from deepunlearn.ops.per_sample import Criterion, Params, parameters_of, per_sample
from tests.networks import Odd, tiny, vit

CLASSES = 4


class Odds(nn.Module):
    """Layers of vectors and of one pixel; some of them are used in ways that no hook at a layer sees."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.pixel = nn.Conv2d(6, 5, 4, stride=3, padding=1, dilation=4)  # 16x16 -> 2x2
        self.last = nn.Conv2d(5, 5, 2)  # 2x2 -> 1x1, and a ReLU that writes into it
        self.grouped = nn.Conv2d(5, 5, 1, groups=5)
        self.same = nn.Conv2d(5, 5, 3, padding="same")
        self.twice = nn.Linear(5, 5)
        self.also = nn.Linear(5, 5)
        self.tied = nn.Linear(5, 5)
        self.tie = nn.Linear(5, 5, bias=False)
        self.tie.weight = self.tied.weight
        self.unused = nn.Linear(5, 5)
        self.hidden = nn.Linear(5, 5, bias=False)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.pixel(F.relu(self.stem(x)))
        maps = F.relu(self.last(maps), inplace=True)
        v = (self.same(maps) + self.grouped(maps)).flatten(1)
        v = self.twice(torch.tanh(self.twice(v)))
        v = torch.tanh(self.also(v)) + F.linear(v, self.also.weight)
        v = self.tie(torch.tanh(self.tied(v)))
        return self.head(F.relu(self.hidden(v) + v, inplace=True))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return copy.deepcopy(make()).double().eval()


def resnet18() -> nn.Module:
    return choice.fit(resnet.build(CLASSES, 32), torch.device("cpu"))


class Normed(nn.Module):
    """Normalisation over channels, groups, tokens, and whole vectors, tokens through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.batch = nn.Conv2d(3, 8, 4, stride=8, bias=False), nn.BatchNorm2d(8)
        self.groups, self.tokens, self.mix = nn.GroupNorm(2, 8), nn.LayerNorm(8), nn.Linear(8, 6)
        self.whole, self.vector, self.head = nn.LayerNorm((16, 6)), nn.LayerNorm(6, bias=False), nn.Linear(6, CLASSES)
        nn.init.normal_(self.batch.running_mean)
        for norm in (self.batch, self.groups, self.tokens, self.whole, self.vector):
            nn.init.normal_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.groups(F.relu(self.batch(self.stem(x)), inplace=True))
        tokens = self.whole(torch.tanh(self.mix(self.tokens(maps.flatten(2).transpose(1, 2)))))
        return self.head(self.vector(tokens.amax(1)))


class Cut(nn.Module):
    """Its body has no graph, and its head is called by the name of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Conv2d(3, 4, 4, stride=8), nn.BatchNorm2d(4)), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.body(x).flatten(1)
        return self.head(input=features)


class Detached(Cut):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


NETWORKS = {
    "odds": Odds,
    "odd": Odd,
    "normed": Normed,
    "cut": Cut,
    "detached": Detached,
    "tiny": tiny,
    "vit": vit,
    "resnet18": resnet18,
}


def batch(samples: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 3, 32, 32, generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (samples,), generator=generator)


def expected(net: nn.Module, criterion: Criterion, power: Power, weights: Tensor | None = None) -> Params:
    x, y = batch()
    own = torch.ones(len(y), dtype=x.dtype) if weights is None else weights
    gradients = per_sample(net, criterion)(parameters_of(net), x, y)
    return {
        name: torch.tensordot(own, value.expand(len(y), *value.shape[1:]).abs() ** power, 1)
        for name, value in gradients.items()
    }


def close(found: Params, wanted: Params) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape
        torch.testing.assert_close(
            found[name], value, rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("criterion", [F.cross_entropy, squared_norm])
def test_sums_are_those_of_gradients_one_by_one(name: str, power: Power, criterion: Criterion) -> None:
    net, (x, y) = seeded(NETWORKS[name]), batch()
    weights = torch.linspace(0.1, 2, len(y), dtype=x.dtype)
    sums = PowerSums(net, parameters_of(net), criterion, power)
    sums.add(x[:2], y[:2], weights[:2])
    sums.add(x[2:], y[2:], weights[2:])
    close({key: 6 * value for key, value in sums.mean().items()}, expected(net, criterion, power, weights))
    assert not any(value.requires_grad for value in sums.mean().values()), "no graph is kept of a chunk"


def possible(net: nn.Module) -> dict[str, Own]:
    x, y = batch()
    return Gradients(net, parameters_of(net), F.cross_entropy).possible(x[:1], y[:1])


def test_by_layer_is_what_a_sample_passes_once_and_nowhere_else() -> None:
    found = possible(seeded(Odds))
    layers = {name.rpartition(".")[0] for name in found}
    assert "also.bias" in found and "also.weight" not in found
    assert layers - {"also"} == {"stem", "pixel", "last", "hidden", "head"}, (
        "no group, padding by name, layer that is called twice or never, weight of two modules or used beside its layer"
    )
    assert {name for name, own in found.items() if isinstance(own, Factors) and own.is_outer} == {
        "last.weight", "hidden.weight", "head.weight",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["resnet18", "tiny", "normed"])
def test_networks_of_known_layers_are_done_whole(name: str) -> None:
    net = seeded(NETWORKS[name])
    assert set(worth_it(possible(net), parameters_of(net))) == set(parameters_of(net))


def test_a_layer_that_is_called_by_name_is_done_and_one_without_a_graph_is_not() -> None:
    assert set(possible(seeded(Cut))) == {"head.weight", "head.bias"}


def test_of_resnet18_outer_products_are_three_quarters_of_all_weights() -> None:
    net = seeded(resnet18)
    sizes = {name: value.numel() for name, value in net.named_parameters()}
    outer = [name for name, own in possible(net).items() if isinstance(own, Factors) and own.is_outer]
    assert 0.74 < sum(sizes[name] for name in outer) / sum(sizes.values()) < 0.77


def test_where_vmap_is_needed_only_products_that_form_no_gradient_are_worth_a_pass() -> None:
    outer, formed = (Factors(torch.ones(1, 4, places), torch.ones(1, 5, places), lambda x: x, 5) for places in (1, 2))
    found: dict[str, Own] = {"outer": outer, "formed": formed, "bias": torch.ones(1, 4)}
    sizes = {"outer": 20, "formed": 20, "bias": 4}
    params = {name: torch.ones(size) for name, size in sizes.items()}
    assert set(worth_it(found, params)) == set(found)
    assert set(worth_it(found, {**params, "other": torch.ones(20)})) == {"outer"}
    assert set(worth_it(found, {**params, "other": torch.ones(200)})) == set()


def test_chosen_weights_alone_and_frozen_ones() -> None:
    net, (x, y) = seeded(Odds), batch()
    net.requires_grad_(False)
    names = ["last.weight", "stem.weight", "head.bias"]
    found = mean_over_samples(net, parameters_of(net, names), lambda size: iter([(x, y)]), F.cross_entropy, 2)
    wanted = expected(net, F.cross_entropy, 2)
    close(found, {name: wanted[name] / 6 for name in names})
    assert not any(one.requires_grad or one.grad is not None for one in net.parameters())
    assert not any(one.requires_grad for one in found.values())
    assert not any(module._forward_hooks for module in net.modules())


def test_vmap_is_asked_for_one_sample_and_for_what_layers_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    formed: list[tuple[int, set[str]]] = []

    def told(model: nn.Module, criterion: Criterion) -> Callable[..., Params]:
        def gradients(params: Params, x: Tensor, y: Tensor) -> Params:
            formed.append((len(x), set(params)))
            return per_sample(model, criterion)(params, x, y)

        return gradients

    monkeypatch.setattr(by_layer, "per_sample", told)
    net, (x, y) = seeded(resnet18), batch()
    sums = PowerSums(net, parameters_of(net), F.cross_entropy, 2)
    for _ in range(2):
        sums.add(x, y)
    assert formed == [(1, set(parameters_of(net)))], "the check is of one sample, once"

    formed.clear()
    odds = seeded(Odds)
    monkeypatch.setattr(gradient_powers, "PAYS_FROM", 0.05)
    PowerSums(odds, parameters_of(odds), F.cross_entropy, 2).add(x, y)
    (_, checked), (samples, rest) = formed
    assert samples == 6 and {"stem.weight", "twice.weight"} <= rest and "head.weight" in checked - rest


@pytest.mark.parametrize("cache", [1, 1 << 14])
def test_how_many_gradients_are_formed_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch, cache: int) -> None:
    monkeypatch.setattr(gradient_powers, "CACHE", cache)
    net, (x, y) = seeded(resnet18), batch()
    weights = torch.linspace(0.1, 2, len(y), dtype=x.dtype)
    sums = PowerSums(net, parameters_of(net), F.cross_entropy, 2)
    sums.add(x, y, weights)
    close({key: 6 * value for key, value in sums.mean().items()}, expected(net, F.cross_entropy, 2, weights))


def test_windows_are_made_of_no_more_samples_than_the_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small network on large images they would take many times the memory of its activations."""
    net, (x, y) = seeded(Normed), batch()
    seen: list[int] = []
    unfold = F.unfold

    def counted(maps: Tensor, *rest: object) -> Tensor:
        windows: Tensor = unfold(maps, *rest)
        seen.append(windows.numel() * windows.element_size())
        return windows

    monkeypatch.setattr(F, "unfold", counted)
    sums = PowerSums(net, parameters_of(net), F.cross_entropy, 2)
    sums.add(x, y)
    whole = max(seen)
    seen.clear()
    monkeypatch.setattr(gradient_powers, "CACHE", whole // 3)
    sums.add(x, y)
    assert max(seen) <= whole // 3


@pytest.mark.parametrize("sampled", [False, True])
def test_fisher_information_is_expected_over_classes_or_over_one_that_is_drawn(sampled: bool) -> None:
    net, (x, y) = seeded(Odds), batch()

    def batches(size: int) -> list[tuple[Tensor, Tensor]]:
        return [(x[:4], y[:4]), (x[4:], y[4:])]

    torch.manual_seed(1)
    found = fisher_diagonal(net, parameters_of(net), lambda size: iter(batches(size)), CLASSES, sampled)
    torch.manual_seed(1)
    with torch.no_grad():
        shares = net(x).softmax(1)
    gradients = per_sample(net)
    totals = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    drawn = [torch.multinomial(part, 1)[:, 0] for part in shares.split(4)] if sampled else []
    for label in range(CLASSES):
        each = gradients(parameters_of(net), x, torch.full((6,), label))
        own = (torch.cat(drawn) == label).to(x.dtype) if sampled else shares[:, label]
        for name, value in each.items():
            totals[name] += torch.tensordot(own, value.expand(6, *value.shape[1:]) ** 2, 1)
    close(found, {name: (total / 6).detach() for name, total in totals.items()})
