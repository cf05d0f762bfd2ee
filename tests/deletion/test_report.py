"""What stands in report.json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from deepunlearn.deletion.report import Report
from tests.deletion.example import FAILED, PASSED


@pytest.mark.parametrize("report", [PASSED, FAILED], ids=["passed", "failed"])
def test_a_report_is_read_again_as_it_was_written(report: Report) -> None:
    assert Report.model_validate_json(report.json_text()) == report
    assert report.passed == (report.outcome == "passed")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"outcome": "perhaps"},
        {"checks": []},
        {"seconds": {"unlearning": float("nan"), "checks": 0.0, "whole": 0.0}},
        {"names": ["a.png"]},
        {"outcome": "failed"},
    ],
    ids=["format", "outcome", "no check", "nan", "unknown field", "failed with weights"],
)
def test_what_is_no_report_is_refused(change: dict[str, Any]) -> None:
    values = {**json.loads(PASSED.json_text()), **change}
    with pytest.raises(ValidationError):
        Report.model_validate(values)


def test_weights_are_named_where_all_checks_passed_and_only_there() -> None:
    values = json.loads(FAILED.json_text())
    with pytest.raises(ValidationError, match="weights"):
        Report.model_validate({**values, "model": json.loads(PASSED.json_text())["model"]})
