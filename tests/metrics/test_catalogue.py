"""Every measure is registered, and says of itself what tables need."""

from __future__ import annotations

import yaml

from deepunlearn.core.measure_config import FOR_PEOPLE, Measure
from deepunlearn.core.paths import shipped
from deepunlearn.metrics import VERSION
from deepunlearn.metrics.catalogue import BUILT_IN, SCORED_TOGETHER, Catalogue
from deepunlearn.metrics.row import DTYPES
from deepunlearn.registry import registered


def test_every_measure_of_every_row_is_registered_and_has_the_version_of_its_scores() -> None:
    assert set(SCORED_TOGETHER) <= set(registered("measure"))
    assert {measure.version for measure in BUILT_IN.measures} == {VERSION}
    assert {column.name for column in BUILT_IN.columns} <= set(DTYPES)


def test_what_is_kept_beside_the_values_tells_all_that_tables_need() -> None:
    for measure in BUILT_IN.measures:
        kept = Measure.model_validate_json(measure.description)
        assert kept == Measure.model_validate(measure.model_dump(exclude={*FOR_PEOPLE}))
    named = {term for measure in BUILT_IN.measures for one in measure.glossary for term in one.names}
    assert {column.name for column in BUILT_IN.shown} <= named


def test_costs_stand_together_ratios_first() -> None:
    """What is faster, what takes fewer operations and what takes less energy answer one question."""

    def added(name: str) -> Measure:
        given = yaml.safe_load((shipped("conf") / "measure" / f"{name}.yaml").read_text(encoding="utf-8"))
        return Measure.model_validate(given)

    names = [one.name for one in BUILT_IN.shown]
    more = Catalogue([*BUILT_IN.measures, added("relearn"), added("peak_memory"), added("flops"), added("energy")])
    recorded = ["record_seconds", "record_MB", "affected"]
    costs = ["RTE", "FLOPs_ratio", "energy_ratio", "seconds", *recorded, "peak_MB", "FLOPs", "energy_J"]
    place = names.index("RTE")
    assert [one.name for one in more.shown] == [*names[:place], *costs, *names[place + 5 :], "RT", "RT_steps"]
