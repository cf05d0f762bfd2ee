"""Every measure is registered, and says of itself what tables need."""

from __future__ import annotations

from deepunlearn.core.measure_config import Measure
from deepunlearn.metrics import VERSION
from deepunlearn.metrics.catalogue import BUILT_IN, SCORED_TOGETHER
from deepunlearn.metrics.row import DTYPES
from deepunlearn.registry import registered


def test_every_measure_of_every_row_is_registered_and_has_the_version_of_its_scores() -> None:
    assert set(SCORED_TOGETHER) <= set(registered("measure"))
    assert {measure.version for measure in BUILT_IN.measures} == {VERSION}
    assert {column.name for column in BUILT_IN.columns} <= set(DTYPES)


def test_what_is_kept_beside_the_values_tells_all_that_tables_need() -> None:
    for measure in BUILT_IN.measures:
        assert Measure.model_validate_json(measure.description) == measure
    named = {term for measure in BUILT_IN.measures for one in measure.glossary for term in one.names}
    assert {column.name for column in BUILT_IN.shown} <= named
