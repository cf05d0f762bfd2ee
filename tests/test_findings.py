"""The answers to the questions of docs/findings.md: rows whose answer is known, by its rules."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.metrics.catalogue import BUILT_IN

ROOT = Path(__file__).parent.parent
KLOM = {name: Column(name=name, meaning="nats", better="lower", best=0.0) for name in ("KLoM_F",)}
COLUMNS = {**{name: BUILT_IN[name] for name in ("RetDev", "Indisc", "Disc_AUC", "gap", "ToW", "RTE")}, **KLOM}
CELLS = (("cifar10", "resnet18"), ("mnist", "tinyvit"))
RUN = {"protocol": "heldout", "search": "thrifty", "space": "paper"}
SEEDS = 10


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("findings")


def rows(
    means: Mapping[str, Mapping[str, float]],
    run: Mapping[str, str] = RUN,
    *,
    cells: tuple[tuple[str, str], ...] = CELLS,
    spread: float = 0.01,
    unusable: Mapping[str, int] | None = None,
    seeds: int = SEEDS,
) -> pd.DataFrame:
    """Of methods with these means, their columns around them; unusable: models of a method that are not."""
    lines: list[dict[str, Any]] = []
    for dataset, arch in cells:
        generator = np.random.default_rng(0)
        for method, own in means.items():
            noise = generator.standard_normal((seeds, len(own))) * spread
            noise -= noise.mean(0)
            for seed in range(seeds):
                values = {name: mean + noise[seed, at] for at, (name, mean) in enumerate(own.items())}
                fine = seed >= (unusable or {}).get(method, 0)
                lines.append({"dataset": dataset, "arch": arch, "forget_kind": "random", "method": method,
                              "seed": seed, "usable": fine, **run, **values})  # fmt: skip
    return pd.DataFrame(lines)


def answered(findings: ModuleType, number: int, *frames: pd.DataFrame) -> tuple[str, str]:
    """The verdict of a question and what it rests on."""
    ask = list(findings.QUESTIONS.values())[number - 1]
    verdict, told = ask(findings.Findings(with_references(pd.concat(frames, ignore_index=True)), COLUMNS))
    return verdict, "\n".join(told)


def with_references(frame: pd.DataFrame) -> pd.DataFrame:
    """As records have them: of no run, which types tell that know NA."""
    one = frame.drop_duplicates(["dataset", "arch", "seed"]).assign(**dict.fromkeys(RUN))
    return pd.concat([frame, *(one.assign(method=name) for name in REFERENCES)], ignore_index=True).convert_dtypes()


def indisc(**means: float) -> dict[str, dict[str, float]]:
    return {method: {"Indisc": mean} for method, mean in means.items()}


def retdev(**means: float) -> dict[str, dict[str, float]]:
    return {method: {"RetDev": mean} for method, mean in means.items()}


def test_the_claims_are_those_of_the_page_in_its_order(findings: ModuleType) -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| \d+ \| (.+?)(?: \([^|]*\))? \|", page, re.MULTILINE)
    assert told == list(findings.QUESTIONS)


def test_at_the_top_is_who_does_not_differ_from_the_best_in_both_cells(findings: ModuleType) -> None:
    verdict, told = answered(findings, 1, rows(indisc(msg=0.95, ct=0.951, ft=0.8)))
    assert verdict == "agrees" and "best ct 0.951" in told and "msg 0.950 not distinguished" in told
    assert answered(findings, 1, rows(indisc(msg=0.8, ct=0.7, ft=0.95)))[0] == "contradicts"
    assert answered(findings, 1, rows(indisc(msg=0.95, ct=0.7, ft=0.951)))[0] == "not decided"
    assert answered(findings, 1, rows(indisc(msg=0.95, ft=0.951)))[0] == "not run"


def test_one_cell_alone_neither_agrees_nor_contradicts(findings: ModuleType) -> None:
    verdict, told = answered(findings, 1, rows(indisc(msg=0.95, ct=0.951, ft=0.8), cells=CELLS[:1]))
    assert verdict == "not decided" and "MNIST x TinyViT: not run" in told


def test_who_is_not_usable_on_every_seed_is_not_at_the_top(findings: ModuleType) -> None:
    verdict, told = answered(findings, 4, rows(retdev(ft=0.01, msg=0.5), unusable={"ft": 1}))
    assert verdict == "contradicts" and "ft usable 9/10" in told


def test_who_has_no_value_on_some_seed_is_not_told_from_the_best(findings: ModuleType) -> None:
    frame = rows(retdev(ft=0.01, msg=0.5))
    frame.loc[(frame["method"] == "ft") & (frame["seed"] == 0), "RetDev"] = np.nan
    verdict, told = answered(findings, 4, frame)
    assert verdict == "not decided" and "ft has no RetDev on some seed" in told


def test_few_seeds_decide_nothing(findings: ModuleType) -> None:
    for number in (1, 2, 4, 9):
        frame = rows({one: {"RetDev": 0.1, "Indisc": 0.9} for one in ("msg", "ct", "ft", "ga", "ngplus")}, seeds=4)
        default = rows(retdev(ft=0.9), {**RUN, "search": "none"}, seeds=4)
        assert answered(findings, number, frame, default)[0] == "not decided", number


@pytest.mark.parametrize(
    ("ga", "ngplus", "verdict"),
    [(0.9, 0.1, "agrees"), (0.1, 0.9, "contradicts"), (0.9, 0.9, "not decided"), (0.5, 0.1, "not decided")],
)
def test_ga_is_at_the_bottom_if_it_is_in_the_last_group_too(
    findings: ModuleType, ga: float, ngplus: float, verdict: str
) -> None:
    others = retdev(ft=0.1, msg=0.12, ct=0.5, kde=0.52, scrub=0.9 if ga == 0.5 else 0.11)
    assert answered(findings, 2, rows({**others, **retdev(ga=ga, ngplus=ngplus)}))[0] == verdict


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"), [(10, 0, "agrees"), (9, 0, "contradicts"), (10, 1, "contradicts")]
)
def test_ff_is_counted_in_both_ranges(findings: ModuleType, theirs: int, ours: int, verdict: str) -> None:
    one = rows(retdev(ff=0.5), unusable={"ff": theirs})
    other = rows(retdev(ff=0.5), {**RUN, "space": "ours"}, unusable={"ff": ours})
    found, told = answered(findings, 3, one, other)
    assert found == verdict
    assert theirs != 10 or "0/10 [0.00, 0.31]" in told, "Clopper and Pearson's"


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ("ct ft msg kde prmq cfw", "agrees"),
        ("cfw prmq kde msg ft ct", "contradicts"),
        ("msg ft ct kde prmq cfw", "not decided"),
    ],
)
def test_times_are_held_against_the_paper_s_table(findings: ModuleType, order: str, verdict: str) -> None:
    times = {method: {"RTE": 10.0 - place} for place, method in enumerate(order.split())}
    assert answered(findings, 5, rows(times))[0] == verdict


def test_orders_agree_where_all_intervals_are_high_and_differ_where_one_is_low(findings: ModuleType) -> None:
    names = ["ft", "ga", "msg", "ct", "kde", "scrub", "salun", "bt"]

    def frame(of: Mapping[str, int]) -> pd.DataFrame:
        """Metrics by which methods are in order, but those of `of` in the reverse one."""
        means = {}
        for place, method in enumerate(names):
            at = {name: len(names) - place if name in of else place for name in (*findings.METRICS, "Indisc", "ToW")}
            means[method] = {"RetDev": 0.1 * at["RetDev"], "gap": 0.1 * at["gap"], "Disc_AUC": 0.1 * at["Disc_AUC"],
                             "Indisc": 1 - 0.1 * at["Indisc"], "ToW": 1 - 0.1 * at["ToW"]}  # fmt: skip
        made = rows(means)
        klom = made["method"].map({name: (len(names) - at if "KLoM_F" in of else at) for at, name in enumerate(names)})
        return made.assign(KLoM_F=klom, KLoM_F_low=klom - 0.1, KLoM_F_high=klom + 0.1)

    assert answered(findings, 6, frame({}))[0] == "agrees"
    assert answered(findings, 7, frame({}))[0] == "contradicts"
    verdict, told = answered(findings, 6, frame({"KLoM_F": 1}))
    assert verdict == "contradicts" and "Indisc and KLoM_F: tau -1.000" in told
    assert answered(findings, 7, frame({"ToW": 1}))[0] == "agrees"
    wide = frame({}).assign(KLoM_F_low=-100.0, KLoM_F_high=100.0)
    assert answered(findings, 6, wide)[0] == "not decided", "KLoM's own interval counts"


def test_who_is_not_usable_comes_last_in_orders(findings: ModuleType) -> None:
    names = ["ft", "ga", "msg", "ct", "kde", "scrub"]
    means = {name: {"RetDev": 0.1 * at, "gap": 0.1 * at} for at, name in enumerate(names)}
    found = findings.Findings(rows(means, unusable={"ft": 1}), COLUMNS)
    assert findings.tau(found.cell("CIFAR-10 x ResNet18"), "RetDev", "gap").mean == pytest.approx(1.0)
    drawn = findings._drawn_means(found.cell("CIFAR-10 x ResNet18"), "RetDev", 0)
    assert (drawn[:, 0] > drawn[:, 1:].max(axis=1)).all()


@pytest.mark.parametrize(("flattered", "verdict"), [(0.3, "agrees"), (-0.3, "contradicts"), (0.0, "not decided")])
def test_a_search_flatters_by_what_its_own_protocol_has_more_than_ours(
    findings: ModuleType, flattered: float, verdict: str
) -> None:
    means = retdev(ft=0.5, ga=0.6, msg=0.7, ct=0.8, salun=0.5, scrub=0.4)
    theirs = rows(means, {**RUN, "protocol": "paper"}, spread=0.05)
    theirs.loc[theirs["seed"] > 2, "RetDev"] += flattered
    assert answered(findings, 8, theirs, rows(means, spread=0.05))[0] == verdict


def test_a_search_gains_where_more_than_half_of_the_methods_are_better(findings: ModuleType) -> None:
    searched = rows(retdev(ft=0.1, ga=0.1, msg=0.1))
    none = {**RUN, "search": "none"}
    verdict, told = answered(findings, 9, searched, rows(retdev(ft=0.5, ga=0.5, msg=0.05), none))
    assert verdict == "agrees" and "better ft, ga; worse msg" in told
    assert answered(findings, 9, searched, rows(retdev(ft=0.05, ga=0.1, msg=0.1), none))[0] == "contradicts"
    assert answered(findings, 9, searched, rows(retdev(ft=0.5, ga=0.05, msg=0.1), none))[0] == "not decided"


@pytest.mark.parametrize(
    ("newer", "indisc_of_newer", "verdict"),
    [(0.1, 0.99, "agrees"), (0.9, 0.5, "contradicts"), (0.1, 0.5, "not decided"), (0.5, 0.9, "not decided")],
)
def test_newer_methods_are_held_against_the_best_of_the_challenge_in_both_metrics(
    findings: ModuleType, newer: float, indisc_of_newer: float, verdict: str
) -> None:
    means = {name: {"RetDev": 0.5, "Indisc": 0.9} for name in ("msg", "ct")}
    own = {"delete": {"RetDev": newer, "Indisc": indisc_of_newer}, "ssd": {"RetDev": 2.0, "Indisc": 0.1}}
    assert answered(findings, 10, rows({**means, **own}))[0] == verdict


def test_two_results_where_one_is_meant_are_refused(findings: ModuleType) -> None:
    with pytest.raises(ConfigError, match="several times"):
        answered(findings, 1, rows(indisc(msg=0.9, ct=0.9)), rows(indisc(msg=0.8, ct=0.9)))


def test_of_real_records_nothing_is_taken_for_a_run_that_it_is_not(
    findings: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings.main([f"records={ROOT / 'results' / 'examples' / 'cifar10-resnet18'}"]) == 0
    assert capsys.readouterr().out.count("| not run |") == 10


def test_nothing_run_is_said_of_every_question(findings: ModuleType) -> None:
    page = findings.page_of(findings.Findings(rows(retdev(ft=0.1)).iloc[:0], COLUMNS))
    assert page.count("| not run |") == len(findings.QUESTIONS) == 10


def test_of_a_folder_with_records_git_takes_these_alone() -> None:
    made = [f"results/findings/1/{name}" for name in ("store/x", "cache/x", "runs/x", "search/x", "work/x", "claims/x")]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *made, "runs/findings/store/x", "results/findings/1/records/rows.parquet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.split() == [*made, "runs/findings/store/x"]
