"""Measures that have files of their own, as configurations: which a sweep computes beside those of every row."""

from __future__ import annotations

from deepunlearn.config.plugins import read
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.validation import validate
from deepunlearn.metrics.catalogue import SCORED_TOGETHER
from deepunlearn.metrics.row import with_added
from deepunlearn.registry import Folders, Registered, digest, registered


def added_measures(folders: Folders) -> tuple[Measure, ...]:
    """All that are registered. Raises ConfigError where one cannot be computed, or has a column whose name is taken."""
    found = registered("measure", folders)
    measures = tuple(_measure(one) for name, one in found.items() if name not in SCORED_TOGETHER)
    with_added(measures)
    return measures


def _measure(found: Registered) -> Measure:
    where = f"measure {found.name}.yaml"
    code = None if found.module is None else digest([found.module])
    measure = validate(Measure, {**read(found), "module": found.module, "code": code}, where)
    if measure.needs != ("logits",):
        raise ConfigError(
            f"{where} needs what a measure of its own does not get",
            given=f"needs: [{', '.join(measure.needs)}]",
            allowed="needs: [logits]",
            remedy="compute it from the logits; weights and times are looked at by the measures of every row only",
        )
    return measure
