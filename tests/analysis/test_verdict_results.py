"""The table of verdicts, from hand-written lines."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from deepunlearn.analysis.figures.style import Sheet
from deepunlearn.analysis.figures.ulira import attack_figures
from deepunlearn.analysis.records import attack_table, verdict_table
from deepunlearn.analysis.ulira_results import attack_tables
from deepunlearn.analysis.verdict_results import DTYPES, current, verdict_tables
from tests.analysis.test_ulira_results import REFERENCE, line


def verdict(**changes: Any) -> dict[str, Any]:
    known = {name: value for name, value in line().items() if name in DTYPES}
    values = {"value": 6.25, "low": 6.0, "high": 6.5, "chance": 5.5, "chance_low": 5.25, "chance_high": 5.75}
    return {
        **known, "verdict": "KLoM, mean", "samples": "forgotten", **values, "largest_epsilon": None, "reason": None,
        "verdict_version": 1, **changes,
    }  # fmt: skip


def test_values_stand_beside_chance_and_what_is_needed_in_their_place() -> None:
    missing = dict.fromkeys(("value", "low", "high", "chance", "chance_low", "chance_high"))
    lines = [
        verdict(),
        verdict(samples="never", **{**missing, "reason": "needs 20 halvings"}),
        verdict(verdict="forgetting score", value=0.125, low=0.1, high=0.15, largest_epsilon=3),
        verdict(method="original", method_title="original", low=None, high=None, **REFERENCE),
    ]
    (table,) = verdict_tables(verdict_table(lines), attack_table([line()]), "")
    shown = table.shown
    assert table.name == "ulira-digits-resnet18-verdicts"
    assert shown["method"].tolist() == ["original", "FT", "FT", "FT"]
    assert shown["value"].tolist() == ["6.25", "6.25 [6.00, 6.50]", "needs 20 halvings", "0.125 [0.100, 0.150]"]
    assert shown["by chance"].iloc[1] == "5.50 (5.25 to 5.75)" and shown["by chance"].iloc[2] == ""
    assert shown["largest epsilon"].tolist() == ["", "", "", "3"]
    assert "halvings: 12;" in table.caption


def test_of_models_judged_again_the_later_verdict_counts() -> None:
    lines = [verdict(date="2026-02-01", value=1.0), verdict(date="2026-01-01", value=2.0)]
    assert current(verdict_table(lines))["value"].tolist() == [1.0]


def test_attacks_without_a_threshold_have_no_accuracy_and_all_are_drawn() -> None:
    none = {f"{name}{end}": None for name in ("accuracy", "balanced") for end in ("", "_low", "_high")}
    lines = attack_table([line(), line(variant="rmia", accuracy_sd=None, **none), line(variant="ruli")])
    assert [picture.name for picture in attack_figures(lines, Sheet())] == [
        "ulira-digits-resnet18", "ulira-digits-resnet18-attacks",
    ]  # fmt: skip


def test_two_searches_of_a_method_are_told_apart() -> None:
    """Of one design; GA has one search, and two sets of values by hand are told apart by their ids."""
    other = {"result_set": "b" * 16, "search": "default"}
    hand = [line(method="ct", method_title="CT", search="file", result_set=digit * 16) for digit in "de"]
    lines = [line(accuracy=0.6), line(accuracy=0.9, **other), line(method="ga", method_title="GA"), *hand]
    attacks = attack_table([*lines, *({**one, "variant": "rmia"} for one in lines)])
    told = {"CT (dddddddd)", "CT (eeeeeeee)", "FT (default)", "FT (quick, 2 trials x 2)", "GA"}
    (table,) = attack_tables(attacks, "")
    assert set(table.shown["method"]) == told
    for picture in attack_figures(attacks, Sheet()):
        text = " ".join(ET.fromstring(picture.svg).itertext())
        assert all(title in text for title in told), picture.name
    kinds = [{key: one[key] for key in one if key in DTYPES} for one in lines[:2]]
    verdicts = verdict_table([verdict(**kind) for kind in kinds])
    assert set(current(verdicts)["method_title"]) == {"FT (default)", "FT (quick, 2 trials x 2)"}
