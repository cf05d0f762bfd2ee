"""What the kind of forget set does to scores, search and tables, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import collect
from tests.commands import run_command, sweep

SMALL = ("dataset=digits", "arch=smallnet", "method=ft,ga", "train.epochs=2", "seeds=1", "runtime.threads=1")


@pytest.mark.slow
def test_a_class_that_is_forgotten_whole_end_to_end(tmp_path: Path) -> None:
    """From the command to the tables: the retrained network never sees class 3, and the search has three losses of it.

    21 of 216 validation samples are of the class; a validation set of a twentieth has too few for the attack.
    """
    forget = ("forget=classes", "forget.classes=[3]", "dataset.val_ratio=0.05")
    made = sweep(tmp_path, *SMALL, *forget, "search=quick", "search.trials=2")
    assert made.returncode == 0, made.stderr
    found = collect(tmp_path / "results")
    rows = found.rows.set_index("method")
    assert set(rows["forget_title"]) == {"class 3"} and set(rows["forget_kind"]) == {"classes"}
    assert rows.loc["retrained", "TA_forgotten"] == 0 and rows["RetDev"].isna().all() and rows["FR"].isna().all()
    assert rows["reason"].str.startswith("RetDev undefined: class 3 forgotten whole").all()
    assert rows[["gap", "ToW", "TA_retained", "TA_forgotten", "TR", "Indisc"]].notna().all(axis=None)
    assert (rows["n_unseen_test"] == 37).all() and (rows.loc[["ft", "ga"], "gap"] > 0).all()
    assert found.trials["mia"].isna().all() and found.trials[["retain", "forget", "val"]].notna().all(axis=None)
    (ranking,) = rankings(found.rows, found.cases)
    assert ranking.metrics == ("gap", "Indisc")
    told = run_command("tables", tmp_path).stdout
    assert "Ranked by gap in place of RetDev" in told and "forget set: class 3;" in told
    assert "The norm is of three losses, without the attack" in told
    assert "compares the forgotten samples with the 37 of 359 test samples like them" in told
    assert run_command("tables", tmp_path, "compare=paper").returncode == 2
