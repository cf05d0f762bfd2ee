"""A results folder as the paper's full sweep would leave it, with invented numbers: nine cells, 18 methods, 10 seeds.

    python scripts/paper_rows.py DIR [--cells N]
    python scripts/bench_analysis.py

With the 300 trials of each search and the loss histograms of each model. For measuring the pace of the analysis;
nothing in it was measured.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

from deepunlearn.config import method_configs, read_command
from deepunlearn.core.identity import canonical_json
from deepunlearn.metrics.histograms import LOSS_EDGES

RETDEV = {"ft": 0.03, "msg": 0.03, "prmq": 0.04, "ct": 0.05, "kde": 0.05, "ga": 0.9, "ff": 2.0, "iu": 0.8, "euk": 0.5}
SEEDS = range(10)
EXPECTED = ("result_set", "cell", "dataset", "arch", "method", "seed")


RANGES = {
    "lr": {"low": 1e-5, "high": 0.1, "log": True},
    "weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
    "epochs": {"low": 1, "high": 10},
    "batch_size": {"choices": [64, 128, 256]},
}


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
    attack = {"MIA": 1 - indisc / 2, "Disc": 1 - indisc, "Indisc": indisc, "MIA_val": 0.5, "Disc_val": 0.0,
              "MIA_AUC": 1 - indisc / 2}  # fmt: skip
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


def losses(retdev: float, chance: random.Random) -> dict[str, list[int]]:
    """Histograms of invented losses, those of the forget set lower."""
    bins = len(LOSS_EDGES) - 1
    counts = {}
    for part, size, centre in (
        ("retain", 500, 10),
        ("forget", 500, 20 + 5 * retdev),
        ("val", 500, 25),
        ("test", 900, 25),
    ):
        drawn = [min(bins - 1, max(0, round(chance.gauss(centre, 6)))) for _ in range(size)]
        counts[part] = [drawn.count(number) for number in range(bins)]
    return counts


def search(folder: Path, cell: Any, method: Any, chance: random.Random) -> dict[str, Any]:
    """A search of three times 100 trials in the store; returns its key, as a row's config.json has it."""
    key = {"trials": 100, "invented": f"{cell.name} {method.name}", "studies": [{"ranges": RANGES}]}
    short = hashlib.sha256(canonical_json(["search", key]).encode()).hexdigest()[:16]
    target = folder / "store" / cell.name / "search" / method.name / short
    target.mkdir(parents=True)
    with (target / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "slot", "state", "reason", "retain", "forget", "val", "mia", "seconds", "params"])
        for seed, slot in itertools.product(range(3), range(100)):
            lr = 10 ** chance.uniform(-5, -1)
            params = {"lr": lr, "weight_decay": 10 ** chance.uniform(-5, -1), "epochs": chance.randint(1, 10),
                      "batch_size": chance.choice([64, 128, 256])}  # fmt: skip
            gap = abs(math.log10(lr) + 2.5) / 10
            four = [min(1 / 3, abs(chance.gauss(gap, 0.02))) for _ in range(4)]
            fine = chance.random() > 0.05
            told = [*four, 30.0] if fine else [""] * 5
            writer.writerow(
                [seed, slot, "COMPLETE" if fine else "FAIL", "" if fine else "Diverged", *told, json.dumps(params)]
            )
    return key


def main(folder: Path, cells: int | None) -> None:
    chance = random.Random(0)
    sweep = read_command(["sweep=paper"]).sweep
    titles = {"original": "original", "retrained": "retrained"}
    titles |= {method.name: method_configs()[method.name].title for method in sweep.methods}
    expected = []
    for cell in sweep.cells[:cells]:
        for method, title in titles.items():
            reference = method in ("original", "retrained")
            key = None if reference else search(folder, cell, method_configs()[method], chance)
            for number in SEEDS:
                made = row(cell, method, title, number, chance)
                target = folder / "store" / cell.name / "rows" / method / f"seed{number}-{digits(made['metrics_key'])}"
                target.mkdir(parents=True)
                (target / "row.json").write_text(json.dumps(made), encoding="utf-8")
                (target / "config.json").write_text(json.dumps({"key": {"search": key}}), encoding="utf-8")
                scored = folder / "store" / cell.name / "metrics" / method / f"seed{number}-{made['metrics_key'][:16]}"
                scored.mkdir(parents=True)
                counts = losses(made["RetDev"], chance)
                (scored / "losses.json").write_text(json.dumps(counts), encoding="utf-8")
                expected.append({name: made[name] for name in EXPECTED})
    (folder / "runs" / "paper").mkdir(parents=True)
    (folder / "runs" / "paper" / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
    print(f"{len(expected)} rows in {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, help="only the first so many of the nine")
    given = parser.parse_args()
    main(given.folder, given.cells)
