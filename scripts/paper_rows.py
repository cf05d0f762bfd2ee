"""A results folder as the paper's full sweep would leave it, with invented numbers: nine cells, 18 methods, 10 seeds.

    python scripts/paper_rows.py DIR [SEED]
    time python -m deepunlearn.tables results=DIR compare=paper

For measuring the pace of the analysis; nothing in it was measured.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

from deepunlearn.config import method_configs, read_command

RETDEV = {"ft": 0.03, "msg": 0.03, "prmq": 0.04, "ct": 0.05, "kde": 0.05, "ga": 0.9, "ff": 2.0, "iu": 0.8, "euk": 0.5}
SEEDS = range(10)
EXPECTED = ("result_set", "cell", "dataset", "arch", "method", "seed")


def digits(*parts: object, length: int = 16) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:length]


def row(cell: Any, method: str, title: str, seed: int, chance: random.Random) -> dict[str, Any]:
    """One invented row, with the fields of `deepunlearn.analysis.rows.COLUMNS`."""
    reference = method in ("original", "retrained")
    retdev = 0.0 if method == "retrained" else abs(chance.gauss(RETDEV.get(method, 0.1), 0.02))
    indisc = min(1.0, max(0.0, 1 - abs(chance.gauss(retdev / 3, 0.02))))
    seconds = chance.uniform(20, 200)
    levels = {"RA": 0.99, "FA": 0.9, "VA": 0.9, "TA": 0.9}
    accuracy = {name: max(0.0, min(1.0, level - retdev / 3)) for name, level in levels.items()}
    ratio = dict.fromkeys(("RR", "FR", "TR"), 1 - retdev / 3)
    attack = {"MIA": 1 - indisc / 2, "Disc": 1 - indisc, "Indisc": indisc, "MIA_val": 0.5, "Disc_val": 0.0}
    chosen = {
        "result_set": digits(cell.name, "set"), "protocol": "paper", "search": "paper", "space": "paper",
        "selection": "paper", "trials": 300, "method_version": 1, "params": '{"lr": 0.01}', "notes": "{}",
    }  # fmt: skip
    usable = accuracy["TA"] > 0.3
    return {
        "cell": digits(cell.name), "dataset": cell.dataset.name, "dataset_title": cell.dataset.title,
        "arch": cell.arch.name, "arch_title": cell.arch.title, "method": method, "method_title": title, "seed": seed,
        "train_epochs": cell.train.epochs, "train_batch_size": 256, "train_lr": 0.1, "limit": None,
        "forget_ratio": 0.1, "n_retain": 38250, "n_forget": 4250, "n_val": 7500, "n_test": 10000, "classes": 10,
        "precision": "fp32", **accuracy, **ratio, "RetDev": retdev, **attack, "seconds": seconds,
        "retrain_seconds": None if reference else 1000.0, "RTE": None if reference else 1000.0 / seconds,
        "moved": 0.0 if method == "original" else 0.1, "L2_original": 3.0, "L2_retrained": 4.0, "L2_original_rel": 0.1,
        "L2_retrained_rel": 0.2, "usable": usable, "reason": None if usable else "TA is not above chance",
        "machine": "invented", "device": "invented", "threads": 2, "commit": "0000000", "torch": "0.0",
        "date": "2026-01-01T00:00:00+00:00", "metrics_key": digits(cell.name, method, seed, length=64),
        **(dict.fromkeys(chosen) if reference else chosen),
    }  # fmt: skip


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    sweep = read_command(["sweep=paper"]).sweep
    titles = {"original": "original", "retrained": "retrained"}
    titles |= {method.name: method_configs()[method.name].title for method in sweep.methods}
    expected = []
    for cell in sweep.cells:
        for method, title in titles.items():
            for number in SEEDS:
                made = row(cell, method, title, number, chance)
                place = folder / "store" / cell.name / "rows" / method / f"seed{number}-{digits(made['metrics_key'])}"
                place.mkdir(parents=True)
                (place / "row.json").write_text(json.dumps(made), encoding="utf-8")
                expected.append({name: made[name] for name in EXPECTED})
    (folder / "runs" / "paper").mkdir(parents=True)
    (folder / "runs" / "paper" / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
    print(f"{len(expected)} rows in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
