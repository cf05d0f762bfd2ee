"""Rank correlations between verdicts: known answers, intervals that cover, the matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from deepunlearn.analysis.agreement import agreement_tables, correlation
from deepunlearn.analysis.records import attack_table, verdict_table
from tests.analysis.test_ulira_results import REFERENCE, line
from tests.analysis.test_verdict_results import verdict


def test_the_value_is_spearman_s_and_few_or_equal_values_have_none() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 9))
    found = correlation(one, other)
    assert found is not None and found.value == pytest.approx(spearmanr(one, other).statistic)
    assert found.low < found.value < found.high
    same = correlation(one, one)
    assert same is not None and same.value == pytest.approx(1) and same.low < 1
    assert correlation(one[:4], other[:4]) is None and correlation(np.ones(9), one) is None


@pytest.mark.parametrize("methods", [5, 8, 18])
@pytest.mark.parametrize("strength", [0.0, 0.8, 0.95])
def test_intervals_cover(methods: int, strength: float) -> None:
    """Of 300 draws of two verdicts that are jointly normal at least 92 % cover the true rank correlation."""
    generator = np.random.default_rng(methods)
    true = 6 / np.pi * np.arcsin(strength / 2)
    hits = 0
    for _ in range(300):
        one = generator.normal(size=methods)
        found = correlation(one, strength * one + np.sqrt(1 - strength**2) * generator.normal(size=methods))
        assert found is not None
        hits += found.low <= true <= found.high
    assert hits >= 0.92 * 300


def test_the_matrix_ranks_methods_from_least_to_most_exposed() -> None:
    """RMIA orders the methods as U-LiRA does, an AUC below one half counting as exposed; the score the other way."""
    lines, verdicts = [], []
    for number in range(5):
        name = {"method": f"m{number}", "method_title": f"M{number}"}
        lines += [line(**name, auc=0.5 + 0.05 * number), line(**name, auc=0.5 - 0.01 * number, variant="rmia")]
        verdicts.append(verdict(**name, verdict="forgetting score", value=1 - 0.1 * number))
        verdicts.append(verdict(**name, verdict="KLoM, mean", value=9 - number))
    lines.append(line(method="original", method_title="original", auc=1.0, **REFERENCE))
    (table,) = agreement_tables(attack_table(lines), verdict_table(verdicts), "")
    shown = table.shown.set_index("verdict")
    assert shown.loc["RMIA", "U-LiRA"].startswith("1.00 [")
    assert shown.loc["forgetting score", "U-LiRA"].startswith("1.00 [")
    assert shown.loc["KLoM", "RMIA"].startswith("-1.00 [")
    assert "Methods: 5." in table.caption


def test_few_methods_say_how_many_are_needed_and_u_lira_alone_has_no_matrix() -> None:
    lines = [line(), line(variant="rmia"), line(variant="ruli")]
    (table,) = agreement_tables(attack_table(lines), verdict_table([]), "")
    assert table.shown["U-LiRA"].tolist() == ["needs 5 methods"] * 2
    assert agreement_tables(attack_table([line(), line(variant="cheap")]), verdict_table([]), "") == []
