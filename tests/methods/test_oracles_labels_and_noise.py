"""GA, SRL, label flipping, FCS, CFW and SalUn against slow, plain references that import nothing from ops.

The references hold all images in one tensor, update one parameter at a time and re-draw labels, noise and orders from
generators with the seed of the run. Everything is computed in double precision, so that rounding cannot flip a ReLU
and grow: what is compared agrees far more closely than any deviation of a method would.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.composition import load_method
from deepunlearn.core.batches import training_batches
from deepunlearn.data.loader import Part, Transform
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import CLASSES, make_problem, parts, problem, runtime
from deepunlearn.testing.small import model as single_precision

SEED = 5
DATA = parts()
RETAIN, FORGET = len(DATA["retain"]), len(DATA["forget"])
Batch = tuple[Tensor, Tensor]
RELABELLED = {"lr": 0.05, "weight_decay": 0.01, "batch_size": 32}
SALUN = {**RELABELLED, "momentum": 0.9, "threshold": 0.3}
FCS = {
    "forget_lr": 0.05,
    "forget_weight_decay": 0.02,
    "contrast_lr": 0.04,
    "contrast_weight_decay": 0.03,
    "lr": 0.1,
    "weight_decay": 0.01,
    "temperature": 0.7,
    "eta_min": 0.01,
    "batch_size": 16,
    "epochs": 4,
}
CFW = {"lr": 0.05, "weight_decay": 0.01, "batch_size": 32, "sigma_start": 0.6, "sigma_end": 0.2, "scope": "stem"}


@pytest.fixture(autouse=True)
def double_precision_images(monkeypatch: pytest.MonkeyPatch) -> None:
    normalise = Transform.normalise
    monkeypatch.setattr(Transform, "normalise", lambda self, images: normalise(self, images).double())


def model(arch: str = "smallnet") -> nn.Module:
    return single_precision(arch).double()


def run(
    name: str,
    original: nn.Module,
    data: dict[str, Part] | None = None,
    arch: str = "smallnet",
    seed: int = SEED,
    **params: float | str,
) -> nn.Module:
    here = runtime()
    method = load_method(name)(**params)
    return execute(method, lambda g: make_problem(original, arch, g, data or DATA, here), here, seed)[0]


@cache
def everything(part: str) -> Batch:
    """All images and true labels of a part, in its own order."""
    batches = list(DATA[part].batches(8))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def shuffled(samples: Batch, size: int, generator: torch.Generator) -> list[Batch]:
    """One epoch in a fresh order, a small remainder spread over the other batches."""
    x, y = samples
    groups = torch.randperm(len(y), generator=generator).split(training_batches(len(y), size))
    return [(x[group].contiguous(memory_format=torch.channels_last), y[group]) for group in groups]


class PlainSGD:
    """w <- w - lr v, v <- momentum v + (g + decay w), one tensor at a time; entries outside `masks` stay put."""

    def __init__(self, net: nn.Module, decay: float, momentum: float = 0.9, masks: list[Tensor] | None = None) -> None:
        self.params, self.decay, self.momentum = list(net.parameters()), decay, momentum
        self.masks = masks or [torch.ones_like(p, dtype=torch.bool) for p in self.params]
        self.velocity: list[Tensor] = [torch.zeros_like(p) for p in self.params]

    def step(self, loss: Tensor, lr: float) -> None:
        gradients = torch.autograd.grad(loss, self.params)
        with torch.no_grad():
            for parameter, gradient, velocity, mask in zip(
                self.params, gradients, self.velocity, self.masks, strict=True
            ):
                velocity.mul_(self.momentum).add_(gradient + self.decay * parameter)
                parameter[mask] -= lr * velocity[mask]


def close(one: nn.Module, other: nn.Module) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-6, atol=1e-7, msg=name)


def cosine(lr: float, step: int, steps: int, end: float = 0.0) -> float:
    return end + (lr - end) * 0.5 * (1 + math.cos(math.pi * step / steps))


# ------------------------------------------------------------------------------------------------------------------ GA


def test_ga_climbs_on_the_forget_set_at_a_constant_rate() -> None:
    original = model()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    for _ in range(3):
        for x, y in shuffled(everything("forget"), 8, generator):
            optimizer.step(-F.cross_entropy(expected(x), y), 0.02)
    close(run("ga", original, lr=0.02, weight_decay=0.01, batch_size=8, epochs=3), expected)


def test_ga_keeps_climbing_far_beyond_chance() -> None:
    """A forget gradient clamped at some loss, e.g. that of chance, would stop here."""
    x, y = everything("forget")
    losses = []
    for epochs in (10, 20):
        net = run("ga", model(), lr=0.05, weight_decay=0.0, batch_size=8, epochs=epochs).train()
        losses.append(F.cross_entropy(net(x), y).item())
    assert losses[0] > 3 * math.log(CLASSES)
    assert losses[1] > 2 * losses[0]


# -------------------------------------------------------------------------------------------- SRL and label flipping


def drawn_labels(generator: torch.Generator, wrong: bool) -> Tensor:
    """Uniform over all classes; or over the wrong ones, by counting up from the true one."""
    if not wrong:
        return torch.randint(CLASSES, (FORGET,), generator=generator)
    up = torch.randint(1, CLASSES, (FORGET,), generator=generator)
    return torch.tensor(
        [(label + step) % CLASSES for label, step in zip(everything("forget")[1].tolist(), up.tolist(), strict=True)]
    )


def joined(labels: Tensor) -> Batch:
    (x, y), (forget_x, _) = everything("retain"), everything("forget")
    return torch.cat([x, forget_x]), torch.cat([y, labels])


@pytest.mark.parametrize("wrong", [False, True])
def test_srl_draws_labels_each_epoch_and_anneals(wrong: bool) -> None:
    original = model()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    for epoch in range(3):
        labels = drawn_labels(generator, wrong)
        for x, y in shuffled(joined(labels), 32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), cosine(0.05, epoch, 3))
    close(run("srl", original, epochs=3, exclude_true_label=wrong, **RELABELLED), expected)


def test_labelflip_draws_wrong_labels_once_and_anneals() -> None:
    original = model()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    labels = drawn_labels(generator, wrong=True)
    for epoch in range(3):
        for x, y in shuffled(joined(labels), 32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), cosine(0.05, epoch, 3))
    close(run("labelflip", original, epochs=3, **RELABELLED), expected)


def seen_labels(
    monkeypatch: pytest.MonkeyPatch, name: str, epochs: int, seed: int = SEED, **params: float
) -> tuple[Tensor, Tensor]:
    """The labels the loss got, for each sample in each epoch: retain [E, |R|] and forget [E, |F|].

    Samples are recognised by their pixels; the loss is replaced by a constant, so that many epochs take little.
    """
    place = {row.numpy().tobytes(): index for index, row in enumerate(joined(everything("forget")[1])[0])}
    assert len(place) == RETAIN + FORGET
    seen: list[tuple[int, int]] = []

    def recording(self: Problem, x: Tensor, y: Tensor) -> Tensor:
        seen.extend((place[row.contiguous().numpy().tobytes()], int(label)) for row, label in zip(x, y, strict=True))
        return 0 * sum((parameter.sum() for parameter in self.model.parameters()), torch.zeros(()))

    monkeypatch.setattr(Problem, "cross_entropy", recording)
    run(name, model(), seed=seed, epochs=epochs, **params)
    table = torch.full((epochs, RETAIN + FORGET), -1)
    for count, (index, label) in enumerate(seen):
        table[count // (RETAIN + FORGET), index] = label
    assert len(seen) == table.numel() and (table >= 0).all(), "some sample was not seen exactly once in each epoch"
    return table[:, :RETAIN], table[:, RETAIN:]


def chi_squared(labels: Tensor, allowed: range) -> float:
    """Against equal frequency of all `allowed` values."""
    expected = labels.numel() / len(allowed)
    return sum((int((labels == value).sum()) - expected) ** 2 / expected for value in allowed)


SUCCESSIVE = [
    ("srl", {**RELABELLED, "exclude_true_label": False}),
    ("srl", {**RELABELLED, "exclude_true_label": True}),
    ("salun", SALUN),
]


@pytest.mark.parametrize(("name", "params"), SUCCESSIVE, ids=["srl", "srl-wrong", "salun"])
def test_labels_are_drawn_anew_each_epoch(monkeypatch: pytest.MonkeyPatch, name: str, params: dict[str, float]) -> None:
    """Drawn once, or from the same seed in every epoch, rows would repeat."""
    retain, forget = seen_labels(monkeypatch, name, 40, **params)
    choices = CLASSES - 1 if params.get("exclude_true_label") else CLASSES
    assert torch.equal(retain, everything("retain")[1].expand_as(retain)), "a retain label was changed"
    assert len({tuple(row.tolist()) for row in forget}) == len(forget)
    for lag in (1, 2, 5):
        repeats = (forget[lag:] == forget[:-lag]).float()
        spread = math.sqrt((choices - 1) / choices**2 / repeats.numel())
        assert abs(repeats.mean().item() - 1 / choices) < 4 * spread, f"epochs {lag} apart depend on each other"


@pytest.mark.parametrize(("name", "params"), [SUCCESSIVE[0], SUCCESSIVE[2]], ids=["srl", "salun"])
def test_labels_are_uniform_over_all_classes(
    monkeypatch: pytest.MonkeyPatch, name: str, params: dict[str, float]
) -> None:
    forget, true = seen_labels(monkeypatch, name, 40, **params)[1], everything("forget")[1]
    for label in range(CLASSES):
        assert chi_squared(forget[:, true == label], range(CLASSES)) < 16.3  # 3 degrees of freedom, p = 0.001


def test_srl_can_exclude_the_true_label(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = seen_labels(monkeypatch, "srl", 40, exclude_true_label=True, **RELABELLED)[1]
    assert chi_squared((forget - everything("forget")[1]) % CLASSES, range(1, CLASSES)) < 13.8
    assert (forget != everything("forget")[1]).all()


def test_labelflip_keeps_one_wrong_label_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    true, shifts = everything("forget")[1], []
    for seed in range(12):
        retain, forget = seen_labels(monkeypatch, "labelflip", 3, seed, **RELABELLED)
        assert torch.equal(retain, everything("retain")[1].expand_as(retain)), "a retain label was changed"
        assert (forget == forget[0]).all(), "drawn more than once"
        assert (forget[0] != true).all(), "a true label was kept"
        shifts.append((forget[0] - true) % CLASSES)
    assert len({tuple(row.tolist()) for row in shifts}) == len(shifts)
    assert chi_squared(torch.stack(shifts), range(1, CLASSES)) < 13.8  # 2 degrees of freedom, p = 0.001


# ----------------------------------------------------------------------------------------------------------------- FCS


def kl_from_uniform(logits: Tensor) -> Tensor:
    """sum_k (1 / K) log((1 / K) / p_k), sample by sample."""
    rows = []
    for row in logits:
        probabilities = row.exp() / row.exp().sum()
        rows.append(sum(torch.log(1 / (len(row) * p)) / len(row) for p in probabilities))
    return sum(rows) / len(rows)


def contrast(forget: Tensor, retain: Tensor, temperature: float) -> Tensor:
    """-log of the softmax over the retain batch, pair by pair."""
    losses = []
    for z in forget:
        scores = torch.stack([(z * other).sum() / temperature for other in retain])
        losses += [-torch.log(score.exp() / scores.exp().sum()) for score in scores]
    return sum(losses) / len(losses)


def for_ever(samples: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    while True:
        yield from shuffled(samples, size, generator)


def fcs_reference(original: nn.Module) -> nn.Module:
    net, generator, size = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED), FCS["batch_size"]
    forget, push, tune = (
        PlainSGD(net, FCS[name]) for name in ("forget_weight_decay", "contrast_weight_decay", "weight_decay")
    )
    for x, _ in shuffled(everything("forget"), size, generator):
        forget.step(kl_from_uniform(net(x)), FCS["forget_lr"])
    anchors, step = for_ever(everything("retain"), size, generator), 0
    steps = FCS["epochs"] * math.ceil(FORGET / size)
    for _ in range(FCS["epochs"]):
        for x, _ in shuffled(everything("forget"), size, generator):
            fixed = net(next(anchors)[0]).detach()
            push.step(
                contrast(net(x), fixed, FCS["temperature"]), cosine(FCS["contrast_lr"], step, steps, FCS["eta_min"])
            )
            step += 1
        for x, y in shuffled(everything("retain"), size, generator):
            tune.step(F.cross_entropy(net(x), y), FCS["lr"] * size / 64)
    return net


def test_fcs_forgets_once_then_contrasts_and_strengthens() -> None:
    original = model()
    assert FCS["epochs"] * math.ceil(FORGET / FCS["batch_size"]) > math.ceil(RETAIN / FCS["batch_size"]), (
        "the pairs do not come to the second round over the retain set"
    )
    close(run("fcs", original, **FCS), fcs_reference(original))


@pytest.mark.slow
@pytest.mark.parametrize("left_out", ["forget", "contrast", "strengthen"])
def test_each_phase_of_fcs_has_its_own_rate(left_out: str) -> None:
    """With one rate at 0 that phase moves nothing and the others still do."""
    rates = {"forget": {"forget_lr": 0.0}, "contrast": {"contrast_lr": 0.0, "eta_min": 0.0}, "strengthen": {"lr": 0.0}}
    all_out = {key: value for phase in rates.values() for key, value in phase.items()}
    original = model()
    kept = {key: FCS[key] for phase, values in rates.items() if phase != left_out for key in values}
    still = run("fcs", original, **{**FCS, **all_out})
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), original.parameters(), strict=True))
    part = run("fcs", original, **{**FCS, **all_out, **kept})
    whole = run("fcs", original, **FCS)
    for other in (still, whole):
        assert any(not torch.equal(a, b) for a, b in zip(part.parameters(), other.parameters(), strict=True))


# ----------------------------------------------------------------------------------------------------------------- CFW


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
    x, y = (torch.cat(column) for column in zip(*data["retain"].batches(8), strict=True))
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
    original, data = model(), unbalanced()
    close(
        run("cfw", original, data, **{**CFW, "epochs": epochs, "scope": scope}),
        cfw_reference(original, data, epochs, scope),
    )


def test_cfw_gives_each_class_its_weight_per_sample() -> None:
    """Class weights after the mean would multiply a scalar: the gradient of a sample would not know its class."""
    original, data = model(), unbalanced()
    x, y = (torch.cat(column) for column in zip(*data["retain"].batches(8), strict=True))
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


@pytest.mark.parametrize("arch", STEMS)
@pytest.mark.parametrize("scope", ["stem", "all"])
def test_cfw_noise_reaches_the_right_convolutions_of_every_architecture(arch: str, scope: str) -> None:
    """At rate 0 only the noise moves weights; E = 1 puts both noises before the one epoch."""
    original = model(arch)
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


def test_cfw_weakens_before_the_last_epoch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    here, original, stems = runtime(), model(), []
    execute(
        load_method("cfw")(**{**CFW, "lr": 0.0, "epochs": 3}),
        lambda g: make_problem(original, "smallnet", g, DATA, here),
        here,
        SEED,
        lambda _, net: stems.append(net.get_parameter("stem.0.weight").detach().clone()),
    )
    first, second, third = stems
    assert torch.equal(first, second)
    assert (first - original.get_parameter("stem.0.weight")).std().item() == pytest.approx(0.6, rel=0.15)
    assert (third - second).std().item() == pytest.approx(0.2, rel=0.15)


# --------------------------------------------------------------------------------------------------------------- SalUn


def recorded_masks(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """The masks that a run sets, in the order of the model's parameters."""
    masks, restrict = [], Problem.restrict

    def recording(self: Problem, chosen: dict[nn.Parameter, Tensor]) -> None:
        masks.append([chosen[parameter].clone() for parameter in self.model.parameters()])
        restrict(self, chosen)

    monkeypatch.setattr(Problem, "restrict", recording)
    return masks


def forget_gradient(original: nn.Module) -> Tensor:
    """|gradient of the mean cross-entropy|, sample by sample in evaluation mode, all weights in one row."""
    net = copy.deepcopy(original).eval()
    total = torch.zeros(sum(parameter.numel() for parameter in net.parameters()), dtype=torch.float64)
    for image, label in zip(*everything("forget"), strict=True):
        loss = F.cross_entropy(net(image[None]), label[None])
        total += torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])
    return (total / FORGET).abs()


@cache
def trained() -> nn.Module:
    """A network whose running statistics are not those of a fresh one, and that keeps its gradients uneven."""
    return run("ft", model(), lr=0.05, weight_decay=0.0, batch_size=32, epochs=1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_salun_masks_the_top_fraction_over_all_weights(monkeypatch: pytest.MonkeyPatch, threshold: float) -> None:
    masks = recorded_masks(monkeypatch)
    run("salun", trained(), epochs=1, **{**SALUN, "threshold": threshold})
    mask, scores = torch.cat([piece.flatten() for piece in masks[0]]), forget_gradient(trained())
    count = max(1, round(threshold * len(scores)))  # at least one, as a run that moves nothing unlearns nothing
    assert int(mask.sum()) == count
    boundary = sorted(scores.tolist(), reverse=True)[count - 1]
    assert (scores[mask] >= boundary * (1 - 1e-9)).all(), "a weight below the boundary may move"
    assert (scores[~mask] <= boundary * (1 + 1e-9)).all(), "a weight above the boundary may not move"


def test_salun_moves_masked_weights_as_srl_without_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = recorded_masks(monkeypatch)
    unlearned = run("salun", trained(), epochs=3, **SALUN)
    expected, generator = copy.deepcopy(trained()).train(), torch.Generator().manual_seed(SEED)
    torch.randperm(FORGET, generator=generator)  # the gradient pass
    optimizer = PlainSGD(expected, SALUN["weight_decay"], SALUN["momentum"], masks[0])
    for _ in range(3):
        labels = drawn_labels(generator, wrong=False)
        for x, y in shuffled(joined(labels), SALUN["batch_size"], generator):
            optimizer.step(F.cross_entropy(expected(x), y), SALUN["lr"])
    close(unlearned, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_salun_leaves_the_rest_bit_identical(
    monkeypatch: pytest.MonkeyPatch, momentum: float, weight_decay: float
) -> None:
    masks = recorded_masks(monkeypatch)
    original = trained()
    unlearned = run("salun", original, epochs=2, **{**SALUN, "momentum": momentum, "weight_decay": weight_decay})
    for before, after, mask in zip(original.parameters(), unlearned.parameters(), masks[0], strict=True):
        assert torch.equal(before[~mask], after[~mask]), "a weight outside the mask moved"
        assert (before[mask] != after[mask]).float().mean() > 0.9 or not mask.any()


def plain_adam(net: nn.Module, masks: list[Tensor], batches: list[Batch], lr: float, decay: float) -> None:
    """Kingma and Ba's Adam with bias correction and decay in the gradient; entries outside the masks stay put."""
    params = list(net.parameters())
    first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
    for t, (x, y) in enumerate(batches, start=1):
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), params)
        with torch.no_grad():
            for index, (weight, gradient) in enumerate(zip(params, gradients, strict=True)):
                whole = gradient + decay * weight
                first[index] = 0.9 * first[index] + 0.1 * whole
                second[index] = 0.999 * second[index] + 0.001 * whole**2
                change = first[index] / (1 - 0.9**t) / ((second[index] / (1 - 0.999**t)).sqrt() + 1e-8)
                weight[masks[index]] -= lr * change[masks[index]]


def test_adam_keeps_within_the_masks() -> None:
    original, random = trained(), torch.Generator().manual_seed(0)
    masks = [torch.rand(parameter.shape, generator=random) < 0.4 for parameter in original.parameters()]
    batches = shuffled(everything("retain"), 32, random)
    with problem(original, data=DATA) as task:
        task.model.train()
        task.restrict(dict(zip(task.model.parameters(), masks, strict=True)))
        step = task.step(task.cross_entropy, task.adam(lr=0.003, weight_decay=0.1))
        for batch in batches:
            step(*batch)
    expected = copy.deepcopy(original).train()
    plain_adam(expected, masks, batches, 0.003, 0.1)
    for before, after, mask in zip(original.parameters(), task.model.parameters(), masks, strict=True):
        assert torch.equal(before[~mask], after[~mask]), "a weight outside the mask moved"
        assert (before[mask] != after[mask]).all()
    close(task.model, expected)


# --------------------------------------------------------------------------------------------------------- data passes

PASSES = {
    "ga": ({"lr": 0.01, "weight_decay": 0.0, "batch_size": 8, "epochs": 3}, [FORGET] * 3),
    "srl": ({**RELABELLED, "epochs": 3, "exclude_true_label": False}, [RETAIN + FORGET] * 3),
    "labelflip": ({**RELABELLED, "epochs": 3}, [RETAIN + FORGET] * 3),
    "fcs": ({**FCS, "epochs": 3}, [FORGET, FORGET, RETAIN, RETAIN, FORGET, RETAIN, FORGET, RETAIN]),
    "cfw": ({**CFW, "epochs": 3}, [RETAIN] * 3),
    "salun": ({**SALUN, "epochs": 3}, [FORGET, *[RETAIN + FORGET] * 3]),
}


@pytest.mark.parametrize("name", PASSES)
def test_no_pass_over_the_data_but_those_of_the_method(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """E.g. class weights come from the labels, and nothing evaluates inside the timed region."""
    params, expected = PASSES[name]
    passes, one_pass = [], Part._pass

    def recording(self: Part, *arguments: Any, **options: Any) -> Iterator[Batch]:
        passes.append(len(self))
        return one_pass(self, *arguments, **options)

    monkeypatch.setattr(Part, "_pass", recording)
    run(name, model(), **params)
    assert passes == expected
