"""Loss histograms: every sample counts once, in the bin of its loss, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.histograms import COMPARED, LOSS_EDGES, loss_histograms


def test_every_sample_counts_once_in_its_bin() -> None:
    generator = np.random.default_rng(0)
    logits = {part: generator.normal(scale=4, size=(50 + number, 5)) for number, part in enumerate(COMPARED)}
    labels = {part: generator.integers(5, size=len(values)) for part, values in logits.items()}
    for part, counts in loss_histograms(logits, labels).items():
        assert len(counts) == len(LOSS_EDGES) - 1 and sum(counts) == len(logits[part])
        for loss in losses(logits[part], labels[part]):
            assert counts[int(np.searchsorted(LOSS_EDGES, loss)) - 1] > 0


def test_losses_beyond_the_ends_count_in_the_outermost_bins() -> None:
    logits = dict.fromkeys(COMPARED, np.array([[1e4, 0.0], [0.0, 1e4], [0.0, 300.0]]))
    counts = loss_histograms(logits, dict.fromkeys(COMPARED, np.array([0, 0, 0])))["forget"]
    assert counts[0] == 1 and counts[-1] == 2 and sum(counts) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_logits_have_no_histogram(bad: float) -> None:
    logits = dict.fromkeys(COMPARED, np.array([[1.0, 0.0]])) | {"test": np.array([[bad, 0.0]])}
    found = loss_histograms(logits, dict.fromkeys(COMPARED, np.array([0])))
    assert found["test"] == [] and sum(found["forget"]) == 1
