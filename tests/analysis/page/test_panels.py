"""Panels of a method's view: what a map is told as, and how large images become."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from deepunlearn.analysis.page.panels import LARGEST, Sample, line_of, where


@pytest.mark.parametrize(
    ("spot", "words"),
    [((0, 0), "upper left"), ((0, 8), "upper right"), ((8, 4), "lower middle"), ((4, 4), "middle"), (None, "nowhere")],
)
def test_a_map_is_told_by_the_ninth_with_most_of_it(spot: tuple[int, int] | None, words: str) -> None:
    activation = np.zeros((9, 9), dtype=np.uint8)
    if spot is not None:
        activation[spot] = 255
    assert where(activation) == words


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [4, 8, 224])
def test_a_strip_is_the_image_and_three_maps_small_and_in_words(channels: int, size: int) -> None:
    chance = np.random.default_rng(0)
    image = chance.integers(0, 256, (channels, size, size), dtype=np.uint8)
    maps = {name: np.zeros((size, size), np.uint8) for name in ("original", "unlearned", "retrained")}
    maps["unlearned"][0, -1] = 255
    made = line_of(Sample("forget", "cat", image, maps, dict.fromkeys(maps, 0.125)))
    assert made.alt.endswith("original nowhere, unlearned upper right, retrained nowhere")
    assert made.name == "forget set, cat" and made.probabilities == ["0.12"] * 3
    strip = Image.open(io.BytesIO(base64.b64decode(made.source.partition(",")[2])))
    height = min(size, LARGEST)
    assert strip.size == (4 * height, height) and len(made.source) < 20_000
    first, unlearned = np.asarray(strip)[:, :height], np.asarray(strip)[:, 2 * height : 3 * height]
    assert np.ptp(first.astype(int), axis=2).max() < 12, "the image itself is grey"
    if size == 8:
        corner, other = unlearned[0, -1].astype(int), unlearned[-1, 0].astype(int)
        assert corner.sum() - other.sum() > 150, "light where the map is high"
