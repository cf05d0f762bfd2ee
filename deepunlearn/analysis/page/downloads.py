"""Tables as files that a page carries within itself: gzipped CSV, which the page's script unpacks when one asks."""

from __future__ import annotations

import base64
import gzip
from typing import NamedTuple

import pandas as pd


class Download(NamedTuple):
    """name: of the file, .csv.gz; link: the file itself as a data: address, to be followed without a script, too."""

    name: str
    link: str


def download(name: str, table: pd.DataFrame) -> Download:
    """`table` as it is. pandas and R read gzipped CSV; with scripts the page gives plain CSV."""
    text = table.to_csv(index=False, lineterminator="\n")
    packed = gzip.compress(text.encode("utf-8"), mtime=0)
    return Download(f"{name}.csv.gz", f"data:application/gzip;base64,{base64.b64encode(packed).decode('ascii')}")
