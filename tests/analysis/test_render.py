"""The committed records give the tables that they gave before scores were described by the catalogue of measures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from deepunlearn.analysis import records, render, tables
from deepunlearn.analysis.ranking import rankings

EXAMPLES = Path(__file__).parents[2] / "results" / "examples"
GOLDEN: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("golden_examples.json").read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_tables_of_committed_records_are_byte_equal(name: str, tmp_path: Path) -> None:
    found = records.read([EXAMPLES / name])
    written = render.write(tables.build(found, rankings(found.rows, found.cases)), tmp_path)
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(written)} == GOLDEN[name]
