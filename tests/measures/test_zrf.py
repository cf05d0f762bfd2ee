"""ZRF: 1 for the random network itself, and an oracle of SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from deepunlearn.measures import zrf
from deepunlearn.testing.measure_contract import LABELS, ORIGINAL, RETRAINED, logits
from tests.measures.made import outputs


def randomly() -> dict[str, np.ndarray]:
    """The logits of the random network on D_F."""
    models = outputs(ORIGINAL).models
    with torch.inference_mode():
        return {**ORIGINAL, "forget": models.random()(next(models.parts["forget"].blocks(60))[0]).numpy()}


def test_the_random_network_itself_has_one() -> None:
    assert zrf.measure(outputs(randomly()))["ZRF"] == pytest.approx(1)


def test_it_is_what_scipy_says_and_one_beside_the_retrained_model() -> None:
    random = softmax(randomly()["forget"].astype(np.float64), axis=1)

    def expected(of: dict[str, np.ndarray]) -> float:
        return 1 - float((jensenshannon(softmax(of["forget"], axis=1), random, base=2, axis=1) ** 2).mean())

    for of in (ORIGINAL, RETRAINED, logits(forget=-2.0)):
        found = zrf.measure(outputs(of))
        assert found["ZRF"] == pytest.approx(expected(of), abs=1e-6)
        assert found["ZRF_relative"] == pytest.approx(expected(of) / expected(RETRAINED), abs=1e-6)
    assert zrf.measure(outputs(RETRAINED))["ZRF_relative"] == 1


def test_certainty_is_far_from_random() -> None:
    certain = {**ORIGINAL, "forget": 100 * np.eye(5, dtype=np.float32)[LABELS["forget"]]}
    assert zrf.measure(outputs(certain))["ZRF"] < 0.5
