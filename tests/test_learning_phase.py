"""The script on the lecture's claim: its verdict by hand, and its tables in a tiny run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepunlearn.core.errors import ConfigError
from scripts import learning_phase
from scripts.learning_phase import Scores, main, verdict


def one(retain: float, forget: float, affected: float | None = 0.3) -> Scores:
    return Scores(retain, forget, np.zeros(2), affected)


@pytest.mark.parametrize(
    ("conventional", "partial", "told"),
    [
        (one(0.2, 0.0), one(0.9, 0.0), "holds"),
        (one(0.2, 0.0), one(0.9, 0.04), "holds"),
        (one(0.2, 0.0), one(0.9, 0.2), "fails: forgets less"),
        (one(0.9, 0.1), one(0.8, 0.0), "fails: no more accurate on D_R"),
        (one(0.2, 0.0, 0.9), one(0.9, 0.0), "not about this share"),
        (one(0.2, 0.0, 0.001), one(0.9, 0.0), "not about this share"),
    ],
)
def test_the_claim_is_about_both_sets_and_some_shares(conventional: Scores, partial: Scores, told: str) -> None:
    assert verdict(conventional, partial) == told


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet81"):
        main(["networks=resnet81"])


@pytest.mark.slow
def test_its_tables_of_a_tiny_run_have_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_phase, "NETWORKS", {"small": ("arch=smallnet",)})
    monkeypatch.setattr(learning_phase, "SHARES", (0.2, 1.0))
    monkeypatch.setattr(learning_phase, "KEPT", ((0.0, 0.0), (1.0, 1.0)))
    monkeypatch.setattr(learning_phase, "DEFAULT", (1.0, 1.0))
    setting = "dataset=digits dataset.limit=300 train.epochs=2 train.batch_size=8 runtime.threads=1"
    given = [f"results={tmp_path}", f"setting={setting}", "networks=small", "seeds=1", f"page={tmp_path / 'page.md'}"]
    assert main(given) == 0
    page = (tmp_path / "page.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    first = {row[0]: row for row in rows}
    assert len(first["original"]) == 3 + 10
    assert first["0 to 0"][1:] == first["original"][1:3], "nothing kept is the original"
    assert first["1 to 1"][1:] == first["amnesiac"][1:3], "everything kept is amnesiac unlearning"
    assert float(first["0.200"][1]) < float(first["1.000"][1]), "fewer batches hold fewer samples"
    assert len(list((tmp_path / "store").glob("*/*/record/updates/*"))) == 2, "one of each forget set"
