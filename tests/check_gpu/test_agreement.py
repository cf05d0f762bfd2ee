"""Whether a device that computes something else is found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepunlearn.check_gpu import agreement
from deepunlearn.check_gpu.agreement import GRAPHS, LIMITS, compared, difference, graphs, listed, reference, unlearned
from deepunlearn.check_gpu.where import Where
from deepunlearn.config import method_configs
from deepunlearn.runtime import Runtime
from deepunlearn.testing.small import ARCHS

METHODS = method_configs()
HERE = Where("cpu")


def test_every_method_is_compared_on_every_network() -> None:
    names = [part.name for part in listed(HERE)]
    single = [name for name, method in METHODS.items() if not method.steps]
    assert len(set(names)) == len(names) and set(LIMITS) == set(ARCHS)
    assert {f"agreement/{arch}/{name}" for arch in ARCHS for name in single} <= set(names)
    assert {f"graphs/{arch}/{name}" for arch in ARCHS for name in GRAPHS} <= set(names)
    assert all(part.lacks for part in listed(HERE) if part.group == "graphs")
    assert not any(part.lacks for part in listed(Where("cuda")))


def test_the_difference_is_a_share_of_the_size_and_no_number_where_one_is_not_finite() -> None:
    one = np.array([[3.0, 4.0]], dtype=np.float32)
    assert difference(one * 1.1, one) == pytest.approx(0.1, rel=1e-5)
    assert np.isnan(difference(one * np.float32(np.nan), one))


def test_a_last_bit_moves_the_model_a_little_and_another_method_much() -> None:
    expected = unlearned(METHODS["ft"], "smallnet", reference())
    assert 0 < difference(unlearned(METHODS["ft"], "smallnet", reference(), 0), expected) < LIMITS["smallnet"]
    assert np.array_equal(unlearned(METHODS["ft"], "smallnet", reference()), expected)
    assert difference(unlearned(METHODS["ga"], "smallnet", reference()), expected) > 10 * LIMITS["smallnet"]


class Wrong(Runtime):
    """A device on which a weight in the first layer is a thousandth too large."""

    def to_device(self, model: torch.nn.Module) -> torch.nn.Module:
        made = super().to_device(model)
        with torch.no_grad():
            next(made.parameters()).mul_(1.001)
        return made


class WrongWhere(Where):
    def runtime(self, **changes: object) -> Runtime:
        return Wrong(super().runtime(**changes).config)


@pytest.mark.slow
def test_a_device_that_is_wrong_fails() -> None:
    assert compared(HERE, "smallnet", METHODS["ft"]).state == "ok"
    wrong = compared(WrongWhere("cpu"), "smallnet", METHODS["ft"])
    assert wrong.state == "failed" and float(wrong.figures["fp32"]) > float(wrong.figures["limit"])


def test_bf16_has_to_stay_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, spoilt = np.ones((4, 3), dtype=np.float32), [1.5, np.inf, np.nan]

    def stand_in(method: object, arch: str, here: Runtime, nudge: int | None = None) -> np.ndarray:
        return logits * np.float32(spoilt.pop(0) if here.config.precision == "bf16" else 1)

    monkeypatch.setattr(agreement, "unlearned", stand_in)
    states = [compared(HERE, "smallnet", METHODS["ga"]).state for _ in range(3)]
    assert states == ["ok", "failed", "failed"]


@pytest.mark.parametrize(("nudged", "limit"), [(0.0, "1.0e-04"), (1e-3, "3.0e-02"), (0.5, "1.0e+00")])
def test_the_limit_follows_what_rounding_does_on_the_cpu(
    nudged: float, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(method: object, arch: str, here: Runtime, nudge: int | None = None) -> np.ndarray:
        return np.full((4, 3), 1 + (nudged if nudge == 1 else 0), dtype=np.float32)

    monkeypatch.setattr(agreement, "unlearned", stand_in)
    assert compared(HERE, "smallnet", METHODS["ga"]).figures["limit"] == limit


@pytest.mark.slow
def test_a_compiled_network_agrees_and_one_that_is_not_compiled_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = graphs(HERE, "smallnet", METHODS["ft"], "aot_eager")
    assert outcome.state == "ok" and int(outcome.figures["graphs"]) > 0
    monkeypatch.setattr(Runtime, "compiled", lambda self, model: model)
    assert graphs(HERE, "smallnet", METHODS["ft"], "aot_eager").said == "nothing was compiled"
