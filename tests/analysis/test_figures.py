"""The figure of a result set shows every method's models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from deepunlearn.analysis import figures
from deepunlearn.analysis.coverage import outcomes
from deepunlearn.analysis.rows import collect
from tests.commands import Finished


def test_one_readable_picture_per_result_set(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: dict[str, int] = {}
    cloud = figures._cloud

    def watching(axes: Axes, method: str, own: pd.DataFrame, number: int) -> None:
        labels[method] = len(own)
        cloud(axes, method, own, number)

    monkeypatch.setattr(figures, "_cloud", watching)
    results = finished.folder / "results"
    frame = collect(results)
    (path,) = figures.draw(frame, outcomes(frame, results), Path(results / "figures"))
    assert labels == frame[frame["usable"]].groupby("method_title").size().to_dict()
    assert {"original", "retrained", "FT"} <= set(labels)
    with Image.open(path) as picture:
        assert picture.width > 600 and len(picture.convert("RGB").getcolors(1_000_000) or []) > 10
