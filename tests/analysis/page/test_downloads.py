"""Files within the page."""

from __future__ import annotations

import base64
import gzip
import io

import pandas as pd

from deepunlearn.analysis.page.downloads import download


def test_a_download_is_the_table() -> None:
    table = pd.DataFrame({"a": [1.5, 2.0], "b": ["ü, x", 'say "y"']})
    found = download("mine", table)
    head, _, content = found.link.partition(",")
    assert found.name == "mine.csv.gz" and head == "data:application/gzip;base64"
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(content)))), table)
    assert download("mine", table) == found, "the same at any time"
