"""FCS against plain losses, pair by pair, and a plain loop."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.testing.small import model
from tests.methods.oracles import (
    FORGET,
    RETAIN,
    SEED,
    PlainSGD,
    close,
    cosine,
    everything,
    in_rounds,
    passes_of,
    run,
    shuffled,
)

pytestmark = pytest.mark.usefixtures("double_precision")


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


def fcs_reference(original: nn.Module) -> nn.Module:
    net, generator, size = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED), FCS["batch_size"]
    forget, push, tune = (
        PlainSGD(net, FCS[name]) for name in ("forget_weight_decay", "contrast_weight_decay", "weight_decay")
    )
    for x, _ in shuffled(everything("forget"), size, generator):
        forget.step(kl_from_uniform(net(x)), FCS["forget_lr"])
    anchors, step = in_rounds(everything("retain"), size, generator), 0
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
    original = model().double()
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
    original = model().double()
    kept = {key: FCS[key] for phase, values in rates.items() if phase != left_out for key in values}
    still = run("fcs", original, **{**FCS, **all_out})
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), original.parameters(), strict=True))
    part = run("fcs", original, **{**FCS, **all_out, **kept})
    whole = run("fcs", original, **FCS)
    for other in (still, whole):
        assert any(not torch.equal(a, b) for a, b in zip(part.parameters(), other.parameters(), strict=True))


def test_fcs_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = [FORGET, FORGET, RETAIN, RETAIN, FORGET, RETAIN, FORGET, RETAIN]  # anchors are drawn beside the forget set
    assert passes_of(monkeypatch, "fcs", **{**FCS, "epochs": 3}) == phases
