"""The table and figure of the per-sample attack, from hand-written lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepunlearn.analysis import ulira_results
from deepunlearn.analysis.figures.style import Sheet
from deepunlearn.analysis.figures.ulira import attack_figures
from deepunlearn.analysis.records import attack_table
from deepunlearn.cli import run_main
from deepunlearn.tables import main


def line(**changes: Any) -> dict[str, Any]:
    estimates = {f"{name}{end}": 0.5 for name in ulira_results.ESTIMATES for end in ("", "_low", "_high")}
    agreement = dict.fromkeys(("equal_decisions", "correlation", "accuracy_difference", "auc_difference"))
    return {
        "cell": "c" * 16, "result_set": "a" * 16, "dataset": "digits", "dataset_title": "Digits", "arch": "resnet18",
        "arch_title": "ResNet18", "method": "ft", "method_title": "FT", "search": "quick, 2 trials x 2",
        "question": "forgotten", "variant": "full", "halvings": 12, "parts": 2, "models": 24, "pool": 100,
        "n_forget": 25, "train_epochs": 3, "limit": None, "seconds": 1.0, "samples": 90, "left_out": 10, **estimates,
        "accuracy_sd": 0.1, "sure": 0.75, "sure_never": 0.25, **agreement, "machine": "box",
        "device": "cpu", "torch": "2.11.0", "commit": "abc",
        "date": "2026-01-02T03:04:05+00:00", "attack_version": 2, **changes,
    }  # fmt: skip


REFERENCE = {"result_set": None, "search": None}


def test_references_first_the_full_attack_before_the_cheap_one() -> None:
    lines = [
        line(),
        line(variant="cheap", equal_decisions=0.75, accuracy=0.625),
        line(method="retrained", method_title="retrained", **REFERENCE),
        line(method="original", method_title="original", accuracy=0.875, **REFERENCE),
        line(question="retained"),
    ]
    (table,) = ulira_results.attack_tables(attack_table(lines), "")
    shown = table.shown
    assert shown["method"].tolist() == ["original", "retrained", "FT", "FT", "FT"]
    assert shown["variant"].tolist() == ["full"] * 4 + ["cheap"]
    assert shown["accuracy (chance 0.5)"].iloc[0] == "0.875 ± 0.100 [0.500, 0.500]"
    assert shown["same decisions as full"].tolist() == ["", "", "", "", "0.750"]
    assert shown[["p > 0.5: attacked", "p > 0.5: never seen"]].iloc[0].tolist() == ["0.750", "0.250"]
    assert shown["samples"].iloc[0] == "90 of 100"
    for fact in ("halvings: 12;", "forget sets per halving: 2;", "machine: box;", "commit: abc;", "dates: 2026-01-02"):
        assert fact in table.caption


def test_of_a_method_attacked_again_the_later_models_count() -> None:
    lines = [line(date="2026-02-01", accuracy=0.7), line(date="2026-01-01", accuracy=0.6)]
    assert ulira_results.current(attack_table(lines))["accuracy"].tolist() == [0.7]


def test_of_the_same_models_the_later_attack_counts_and_an_earlier_one_alone_is_named() -> None:
    earlier = line(accuracy=0.6)
    del earlier["attack_version"]
    other = {**earlier, "method": "ga", "method_title": "GA"}
    found = attack_table([line(accuracy=0.7), earlier, other])
    assert ulira_results.current(found)["accuracy"].tolist() == [0.7, 0.6]
    (table,) = ulira_results.attack_tables(found, "")
    assert "too narrow: GA; the same command" in table.caption


def test_each_design_has_a_table_and_a_figure_of_its_own() -> None:
    lines = [line(), line(halvings=16, cell="e" * 16), line(dataset="mnist", cell="d" * 16)]
    found = attack_table(lines)
    names = [table.name for table in ulira_results.attack_tables(found, "")]
    assert names == [picture.name for picture in attack_figures(found, Sheet())]
    assert len(set(names)) == 3 and "ulira-mnist-resnet18" in names


def test_attacks_alone_make_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store/digits/resnet18/attacks/ft/0123456789abcdef/attack.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([line()]), encoding="utf-8")
    assert run_main(main, [f"results={tmp_path}"]) == 0
    assert "per-sample attack" in capsys.readouterr().out
    assert (tmp_path / "tables" / "ulira-digits-resnet18.tex").is_file()
