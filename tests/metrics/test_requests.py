"""Scores of the last request and of those before it, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.metrics.counted import EVERYTHING, Counted
from deepunlearn.metrics.requests import REQUESTS, of_requests
from deepunlearn.metrics.scores import score

LABELS = {"forget": np.zeros(30, dtype=np.int64), "test": np.zeros(40, dtype=np.int64)}
EARLIER = np.arange(30) < 20


def sure(values: np.ndarray) -> np.ndarray:
    """Two logits [N, 2] of which the label's, the first one, is higher by `values` [N]."""
    return np.stack([values, np.zeros_like(values)], axis=1).astype(np.float32)


def known(request: float, earlier: float) -> dict[str, np.ndarray]:
    return {"forget": sure(np.where(EARLIER, earlier, request)), "test": sure(np.linspace(-1, 1, 40))}


def test_each_is_about_its_own_samples() -> None:
    """The request is always wrong and at the end of the test losses; the earlier ones are right and at the other."""
    found = of_requests(known(request=-5.0, earlier=5.0), LABELS, EVERYTHING, EARLIER)
    assert found == {"FA_request": 0.0, "FA_earlier": 1.0, "Disc_AUC_request": 1.0, "Disc_AUC_earlier": 1.0}
    forgotten = of_requests(known(request=5.0, earlier=0.0), LABELS, EVERYTHING, EARLIER)
    assert forgotten["Disc_AUC_request"] == 1.0
    assert forgotten["Disc_AUC_earlier"] == pytest.approx(0.0, abs=0.06)


def test_of_a_first_request_they_are_those_of_the_whole_forget_set() -> None:
    random = np.random.RandomState(0)
    logits = {part: random.randn(len(own), 3).astype(np.float32) for part, own in LABELS.items()}
    everything = {**LABELS, "retain": LABELS["test"], "val": LABELS["test"]}
    whole = score({**logits, "retain": logits["test"], "val": logits["test"]}, None, everything, 0)
    found = of_requests(logits, LABELS, EVERYTHING, np.zeros(30, dtype=bool))
    assert (found["FA_request"], found["Disc_AUC_request"]) == (whole["FA"], whole["Disc_AUC"])
    assert found["FA_earlier"] is found["Disc_AUC_earlier"] is None


def test_the_attack_has_no_say_on_fewer_than_ten_samples_on_either_side() -> None:
    few = of_requests(known(-5.0, 5.0), LABELS, EVERYTHING, np.arange(30) < 21)
    assert few["Disc_AUC_request"] is None and few["Disc_AUC_earlier"] > 0.9 and few["FA_request"] == 0.0
    unlike = Counted(unseen={"test": np.arange(9)})
    assert of_requests(known(-5.0, 5.0), LABELS, unlike, EARLIER)["Disc_AUC_earlier"] is None


def test_logits_that_are_not_finite_have_no_scores() -> None:
    broken = known(np.nan, 5.0)
    assert of_requests(broken, LABELS, EVERYTHING, EARLIER) == dict.fromkeys(REQUESTS)
