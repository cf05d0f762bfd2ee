"""Relearn time: what the original still knows takes nothing, and what is measured is left as it is."""

from __future__ import annotations

import pytest

from deepunlearn.measures import ain, cka, recovery, relearn
from deepunlearn.testing.measure_contract import ORIGINAL, RETRAINED, logits
from deepunlearn.testing.small import equal_states, state
from tests.measures.made import on_the_same, outputs


def test_the_original_takes_no_step() -> None:
    assert relearn.measure(outputs(ORIGINAL)) == {
        "RT": 0, "RT_steps": 0, "RT_near": 0, "RT_near_steps": 0, "RT_reached": True
    }  # fmt: skip


def test_a_little_takes_less_than_much_and_all_of_it_more_than_most_of_it() -> None:
    little, much = (relearn.measure(outputs(logits(forget=forget), logits(forget=2.0))) for forget in (1.8, 0.0))
    assert 0 < little["RT"] <= much["RT"] and little["RT_steps"] < much["RT_steps"]
    assert much["RT_near_steps"] <= much["RT_steps"]


def test_what_is_not_reached_has_the_limit_and_says_so() -> None:
    found = relearn.measure(outputs(logits(forget=-40.0)))
    assert (found["RT"], found["RT_steps"], found["RT_reached"]) == (100, 100, False)


@pytest.mark.parametrize("module", [relearn, ain, recovery, cka])
def test_what_is_measured_next_sees_the_same_networks(module: object) -> None:
    """ERASURE relearns the unlearned model itself, and every measure behind that looks at another model."""
    given, models = on_the_same(logits(forget=1.0, retain=2.0))
    before = {name: state(network) for name, network in models.networks.items()}
    first = module.measure(given)  # type: ignore[attr-defined]
    assert all(equal_states(before[name], state(network)) for name, network in models.networks.items())
    assert not any(network.training for network in models.networks.values())
    assert module.measure(given) == first  # type: ignore[attr-defined]


def test_the_retrained_model_is_what_to_hold_it_against() -> None:
    assert relearn.measure(outputs(RETRAINED))["RT_steps"] > 0
