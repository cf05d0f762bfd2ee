"""Hand-written rows: a results folder that tests fill with rows, failures and expectations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepunlearn.core.identity import canonical_json

TRIALS_HEAD = "seed,slot,state,reason,retain,forget,val,mia,seconds,params\n"
CELL, RESULT_SET = "c" * 16, "a1b2c3d4" * 2


def row(**changes: Any) -> dict[str, Any]:
    """A valid row of method ft, seed 0; a reference where `method` is original or retrained."""
    reference = changes.get("method") in ("original", "retrained")
    accuracies = {"RA": 0.99, "FA": 0.9, "VA": 0.89, "TA": 0.88}
    accuracies |= dict.fromkeys(("VA_retained", "VA_forgotten", "TA_retained", "TA_forgotten"))
    accuracies |= dict.fromkeys(("corrected_known", "corrected_unknown", "record_seconds", "record_MB", "affected"))
    accuracies |= dict.fromkeys(("FA_request", "FA_earlier", "Disc_AUC_request", "Disc_AUC_earlier"))
    retention = {"RR": 1.0, "FR": 1.0, "TR": 1.0, "RetDev": 0.0, "gap": 0.0, "ToW": 1.0}
    attack: dict[str, Any] = {"MIA": 0.55, "Disc": 0.1, "Indisc": 0.9, "MIA_val": 0.5, "Disc_val": 0.0}
    auc = changes.get("MIA_AUC", 0.56)
    attack |= {"MIA_AUC": auc, "Disc_AUC": None if auc is None else abs(2 * auc - 1)}
    attack |= {"MIA_AUC_val": 0.51, "MIA_understated": False}
    chosen = {
        "result_set": RESULT_SET, "protocol": "paper", "search": "quick", "space": "paper", "selection": "paper",
        "trials": 20, "method_version": 1, "params": '{"epochs": 3, "lr": 0.01}', "notes": "{}",
    }  # fmt: skip
    return {
        "cell": CELL, "dataset": "digits", "dataset_title": "Digits", "arch": "resnet18", "arch_title": "ResNet18",
        "method": "ft", "method_title": "FT", "seed": 0, "train_epochs": 15, "train_batch_size": 64, "train_lr": 0.05,
        "given_original": None,
        "limit": None, "forget_kind": "random", "forget_title": "random 10 %", "forget_remarks": None,
        "forget_ratio": 0.1, "n_retain": 1100, "n_forget": 122, "n_val": 215, "n_test": 360,
        "n_unseen_test": None, **dict.fromkeys(("sequence", "round", "rounds", "requested", "forgotten")),
        "classes": 10, "precision": "fp32", **accuracies, **retention, **attack, "seconds": 2.0,
        "retrain_seconds": None if reference else 8.0, "RTE": None if reference else 4.0, "moved": 0.1,
        "moved_buffers": 0.0,
        "L2_original": 3.0, "L2_retrained": None, "L2_original_rel": 0.1, "L2_retrained_rel": None, "usable": True,
        "reason": None, "machine": "box", "device": "cpu", "threads": 2, "commit": "abc1234", "torch": "2.11.0",
        "date": "2026-01-02T03:04:05+00:00", "metrics_key": "f" * 64,
        "metrics_version": 2,
        **(dict.fromkeys(chosen) if reference else chosen), **changes,
    }  # fmt: skip


class Shelf:
    """A results folder as the pipeline would leave it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[dict[str, Any]] = []

    def searched(self, trials: str, **changes: Any) -> Path:
        """Store a row of a searched method with its key and the search it rests on, whose trials.csv is `trials`."""
        path = self.add(**changes)
        ranges = {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "batch_size": {"choices": [64, 128]}}
        key = {"trials": 2, "invented": str(changes), "studies": [{"ranges": ranges}]}
        path.with_name("config.json").write_text(json.dumps({"key": {"search": key}}), encoding="utf-8")
        short = hashlib.sha256(canonical_json(["search", key]).encode()).hexdigest()[:16]
        folder = self.root / "store/digits/resnet18/search" / self.rows[-1]["method"] / short
        folder.mkdir(parents=True)
        (folder / "trials.csv").write_text(TRIALS_HEAD + trials, encoding="utf-8")
        return folder

    def histogram(self, **counts: list[int]) -> Path:
        """Store the losses of the model of the last row."""
        made = self.rows[-1]
        path = f"store/{made['dataset']}/{made['arch']}/metrics/{made['method']}"
        return self._put(f"{path}/seed{made['seed']}-{made['metrics_key'][:16]}/losses.json", counts)

    def _put(self, path: str, content: Any) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
        return file

    def add(self, **changes: Any) -> Path:
        """Store a row and return its file."""
        made = row(**changes)
        self.rows.append(made)
        path = f"store/{made['dataset']}/{made['arch']}/rows/{made['method']}/seed{made['seed']}-{len(self.rows):016x}"
        return self._put(f"{path}/row.json", made)

    def expect(self, run: str = "run1", *more: dict[str, Any]) -> Path:
        """Store what a run expects: all rows added so far and `more` (changes to an expectation of ft, seed 0)."""
        names = ("result_set", "cell", "dataset", "arch", "method", "seed")
        lines = [{name: made[name] for name in names} for made in [*self.rows, *(row(**changes) for changes in more)]]
        return self._put(f"runs/{run}/expected.json", lines)

    def fail(self, **changes: Any) -> Path:
        """Store a failure of ft, seed 0."""
        note = {
            "stage": "evaluate", "dataset": "digits", "arch": "resnet18", "method": "ft", "seed": 0, "cell": CELL,
            "result_set": RESULT_SET, "kind": "failed", "error": "RuntimeError", "message": "out of memory\n  2 GiB",
            "traceback": "Traceback ...", "date": "2026-01-02T03:04:05+00:00", **changes,
        }  # fmt: skip
        task = f"{note['stage']}-{note['method']}-seed{note['seed']}-{note['date'][:10]}"
        return self._put(f"store/{note['dataset']}/{note['arch']}/failures/{task}/failure.json", note)

    def references(self, *seeds: int, **changes: Any) -> None:
        for seed in seeds:
            told_apart = {"RetDev": 0.1, "MIA": 0.7, "MIA_AUC": 0.75, "Indisc": 0.6, "moved": 0}
            self.add(**{"method": "original", "method_title": "original", "seed": seed, **told_apart, **changes})
            self.add(method="retrained", method_title="retrained", seed=seed, seconds=8.0, RTE=1.0, **changes)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "results")


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    return row
