"""The answers to the questions of docs/findings.md: results whose answer is known, by its rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import findings
import numpy as np
import pandas as pd
import pytest
from findings_cells import NEWER, PAPER, Cell, Findings
from findings_metrics import METRICS, own_tau, told_apart
from record_pages import folders_in

from deepunlearn.analysis.records import read
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.metrics.catalogue import BUILT_IN

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
KLOM = {name: Column(name=name, meaning="nats", better="lower", best=0.0) for name in ("KLoM_F",)}
COLUMNS = {**{name: BUILT_IN[name] for name in ("RetDev", "Indisc", "Disc_AUC", "gap", "ToW", "RTE")}, **KLOM}
BOTH = ("findings", "findings_mnist")
SEEDS = 10
Means = Mapping[str, Mapping[str, float]]


def models(
    means: Means,
    runs: tuple[str, ...] = BOTH,
    *,
    spread: float = 0.01,
    unusable: Mapping[str, int] | None = None,
    failed: Mapping[str, int] | None = None,
    seeds: int = SEEDS,
) -> pd.DataFrame:
    """Of methods with these means, their columns around them.

    unusable, failed: models of a method that are not usable, or that came to nothing and have no row.
    """
    lines: list[dict[str, Any]] = []
    for run in runs:
        generator = np.random.default_rng(0)
        for method, own in means.items():
            noise = generator.standard_normal((seeds, len(own))) * spread
            noise -= noise.mean(0)
            for seed in range(seeds):
                values = {name: mean + noise[seed, at] for at, (name, mean) in enumerate(own.items())}
                there, fine = seed >= (failed or {}).get(method, 0), seed >= (unusable or {}).get(method, 0)
                lines.append({"run": run, "cell": f"{run}'s", "method": method, "seed": seed, "usable": there and fine,
                              "outcome": "found" if there else "failed", **(values if there else {})})  # fmt: skip
    return pd.DataFrame(lines)


def answered(number: int, *frames: pd.DataFrame) -> tuple[str, str]:
    """The verdict of a question and what it rests on."""
    ask = list(findings.QUESTIONS.values())[number - 1]
    verdict, told = ask(Findings(pd.concat(frames, ignore_index=True), COLUMNS))
    return verdict, "\n".join(told)


def cell_of(means: Means, **more: Any) -> Cell:
    found = Findings(models(means, **more), COLUMNS).cell("findings")
    assert found is not None
    return found


def of(column: str, **means: float) -> dict[str, dict[str, float]]:
    return {method: {column: mean} for method, mean in means.items()}


def papers(column: str, **means: float) -> dict[str, dict[str, float]]:
    """The paper's 18 methods, evenly spread between 0.4 and 0.6 but for these."""
    spread = dict(zip(PAPER, np.linspace(0.4, 0.6, len(PAPER)).tolist(), strict=True))
    return of(column, **{**spread, **means})


def test_the_claims_are_those_of_the_page_in_its_order() -> None:
    _, _, rules = PAGE.partition("\n## The questions")
    told = re.findall(r"^\| \d+ \| (.+?)(?: \([^|]*\))? \|", rules, re.MULTILINE)
    assert told == list(findings.QUESTIONS)


def test_the_committed_answers_are_those_of_the_committed_records() -> None:
    folder = ROOT / "results" / "findings"
    made = findings.made_of(folders_in(folder))
    remake = "python scripts/findings.py records=results/findings page=results/findings/answers.md"
    assert (folder / "answers.md").read_text(encoding="utf-8") == made, f"stale: {remake}"
    table, _, _ = made.partition("\n\n")
    shown = re.search(r"<!-- table of the answers -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    assert shown is not None and shown[1] == table, "copy the table of answers.md into docs/findings.md"
    assert made.count("not run") == 0


def test_at_the_top_is_whose_place_is_in_the_upper_half_in_both_cells() -> None:
    verdict, told = answered(1, models(papers("Indisc", msg=0.95, ct=0.97)))
    assert verdict == "agrees" and "msg 0.950, place 2 [" in told and "of 18" in told
    assert answered(1, models(papers("Indisc", msg=0.1, ct=0.2)))[0] == "contradicts"
    assert answered(1, models(papers("Indisc", msg=0.95, ct=0.2)))[0] == "not decided"
    assert answered(1, models(of("Indisc", msg=0.95, ct=0.97, ft=0.5)))[0] == "not run"


def test_methods_alike_are_not_at_the_top_for_want_of_a_difference() -> None:
    verdict, _ = answered(1, models(papers("Indisc", **dict.fromkeys(PAPER, 0.9))))
    assert verdict == "not decided"


def test_newer_methods_leave_the_places_among_the_papers_as_they_are() -> None:
    frame = models(papers("Indisc", msg=0.95, ct=0.97))
    better = models(of("Indisc", delete=0.99, ssd=0.99, jit=0.99))
    assert answered(1, frame, better) == answered(1, frame)
    frame = models(papers("RetDev", ga=0.9, ngplus=0.1))
    assert answered(2, frame, models(of("RetDev", ssd=9.0))) == answered(2, frame)


def test_one_cell_alone_neither_agrees_nor_contradicts() -> None:
    verdict, told = answered(1, models(papers("Indisc", msg=0.95, ct=0.97), BOTH[:1]))
    assert verdict == "not decided" and "MNIST x TinyViT: not run" in told


@pytest.mark.parametrize("how", ["unusable", "failed"])
def test_who_diverges_on_a_seed_comes_last(how: str) -> None:
    more: Any = {how: {"ft": 1}}
    verdict, told = answered(4, models(papers("RetDev", ft=0.01), **more))
    assert verdict == "contradicts" and "ft usable 9/10, place 18 [18, 18] of 18" in told
    table = cell_of(papers("RetDev", ft=0.01), **more).placed("RetDev")
    assert table["ft"].mean() > table.drop(columns="ft").to_numpy().max()


def test_what_was_not_run_on_every_seed_is_not_told_of() -> None:
    frame = models(papers("RetDev", ft=0.01), failed={"ft": 1})
    assert answered(4, frame.replace({"outcome": {"failed": "missing"}}))[0] == "not run"


def test_a_run_that_has_only_begun_is_told_of_in_one_word() -> None:
    frame = models(papers("RetDev"))
    frame.loc[frame["run"] == "findings_mnist", "outcome"] = "missing"
    verdict, told = answered(4, frame)
    assert verdict == "not decided" and told.endswith("MNIST x TinyViT: not run")
    assert told.startswith("CIFAR-10 x ResNet18: ft 0.")


def test_who_has_no_value_on_some_seed_has_no_place() -> None:
    frame = models(papers("RetDev", ft=0.01))
    frame.loc[(frame["method"] == "ft") & (frame["seed"] == 0), "RetDev"] = np.nan
    verdict, told = answered(4, frame)
    assert verdict == "not decided" and "ft has no RetDev on some seed" in told


def test_default_values_stand_beside_searched_ones() -> None:
    default = models(of("Indisc", msg=0.4, ct=0.3), ("findings_defaults",))
    _, told = answered(1, models(papers("Indisc", msg=0.95, ct=0.97)), default)
    cifar, mnist = told.splitlines()
    assert "0.400 by default values" in cifar and "default" not in mnist


def test_few_seeds_decide_nothing() -> None:
    both = {one: {"RetDev": 0.1, "Indisc": 0.9} for one in PAPER}
    for number in (1, 2, 4, 9):
        default = models(of("RetDev", ft=0.9), ("findings_defaults",), seeds=4)
        assert answered(number, models(both, seeds=4), default)[0] == "not decided", number


@pytest.mark.parametrize(
    ("ga", "ngplus", "verdict"),
    [(0.9, 0.1, "agrees"), (0.1, 0.9, "contradicts"), (0.9, 0.9, "not decided"), (0.5, 0.1, "not decided")],
)
def test_ga_is_at_the_bottom_if_it_is_in_the_last_group_too(ga: float, ngplus: float, verdict: str) -> None:
    means = papers("RetDev", ga=ga, ngplus=ngplus, scrub=0.9 if ga == 0.5 else 0.11)
    assert answered(2, models(means))[0] == verdict


@pytest.mark.parametrize(
    ("diverged", "verdict"), [(["ga"], "agrees"), (["ngplus"], "contradicts"), (["ga", "ngplus"], "not decided")]
)
def test_who_diverges_is_at_the_bottom_and_worse(diverged: list[str], verdict: str) -> None:
    frame = models(papers("RetDev", ga=0.5, ngplus=0.5), failed=dict.fromkeys(diverged, 2))
    found, told = answered(2, frame)
    assert found == verdict and "usable 8/10" in told


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"), [(10, 0, "agrees"), (9, 0, "contradicts"), (10, 1, "contradicts")]
)
def test_ff_is_counted_in_both_ranges(theirs: int, ours: int, verdict: str) -> None:
    """A search without a completed trial leaves no row: ten failed cases."""
    missing: Any
    for missing in ({"failed": {"ff": theirs}}, {"unusable": {"ff": theirs}}):
        one = models(of("RetDev", ff=0.5), ("findings_ff",), **missing)
        other = models(of("RetDev", ff=0.5), ("findings_ff_ours",), unusable={"ff": ours})
        found, told = answered(3, one, other, models(of("RetDev", ff=0.5)))
        assert found == verdict
        assert theirs != 10 or "0/10 [0.00, 0.31]" in told, "Clopper and Pearson's"


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ("ct ft msg kde prmq cfw", "agrees"),
        ("ft ct msg kde prmq cfw", "agrees"),
        ("ft ct msg kde cfw prmq", "not decided"),
        ("cfw prmq kde msg ft ct", "contradicts"),
    ],
)
def test_times_are_held_against_the_paper_s_table(order: str, verdict: str) -> None:
    times = {method: {"RTE": 10.0 - place, "FLOPs_ratio": 3.0} for place, method in enumerate(order.split())}
    found, told = answered(5, models(times))
    assert found == verdict and " (3.00)" in told
    assert answered(5, models(times, unusable={"ct": 1}))[0] == "not decided"


def test_metrics_that_reverse_a_pair_differ_and_those_that_tell_many_apart_alike_agree() -> None:
    names = [*PAPER, *NEWER]

    def frame(reverse: tuple[str, ...], spread: float = 0.01) -> pd.DataFrame:
        """Metrics by which methods are in order, but those of `reverse` in the other one."""
        means = {}
        for place, method in enumerate(names):
            at = {name: len(names) - place if name in reverse else place for name in METRICS}
            means[method] = {"RetDev": 0.1 * at["RetDev"], "gap": 0.1 * at["gap"], "Disc_AUC": 0.1 * at["Disc_AUC"],
                             "Indisc": 1 - 0.1 * at["Indisc"], "ToW": 1 - 0.1 * at["ToW"]}  # fmt: skip
        made = models(means, spread=spread)
        klom = made["method"].map(
            {name: (len(names) - at if "KLoM_F" in reverse else at) for at, name in enumerate(names)}
        )
        return made.assign(KLoM_F=klom, KLoM_F_high=klom + 0.1)

    assert answered(6, frame(()))[0] == "agrees" and answered(7, frame(()))[0] == "contradicts"
    verdict, told = answered(6, frame(("KLoM_F",)))
    assert verdict == "contradicts" and "Indisc and KLoM_F: 0 pairs alike, 351 reversed" in told and "tau -1.00" in told
    assert answered(7, frame(("ToW",)))[0] == "agrees" and answered(6, frame(("ToW",)))[0] == "agrees"
    assert answered(6, frame((), spread=1.0))[0] == "not decided", "too few pairs are told apart"
    wide = frame(()).assign(KLoM_F_high=lambda made: made["KLoM_F"] + 100.0)
    assert answered(6, wide)[0] == "not decided", "KLoM's own interval counts"
    assert answered(7, frame(()).query("run == 'findings'"))[0] == "not decided", "one cell is missing"
    for number in (6, 7):
        verdict, told = answered(number, frame(("KLoM_F",)).query("method != 'iu'"))
        assert verdict == "not run" and "CIFAR-10 x ResNet18: iu not run" in told


def test_noise_alone_is_no_change_of_the_order() -> None:
    """21 of 27 methods are equally good, and every metric sees the quality alone."""
    for draw in range(5):
        generator = np.random.default_rng(draw)
        quality = pd.Series(np.concatenate([np.full(21, 0.5), np.linspace(0.1, 0.9, 6)]), [*NEWER, *PAPER])
        frame = models({method: {} for method in quality.index})
        for metric in ("RetDev", "gap", "Disc_AUC", "Indisc", "ToW"):
            noisy = frame["method"].map(quality) + generator.normal(0, 0.1, len(frame))
            frame[metric] = 1 - noisy if metric in ("Indisc", "ToW") else noisy
        klom = frame.groupby(["run", "method"])["RetDev"].transform("mean") + 0.03 * generator.standard_normal()
        frame = frame.assign(KLoM_F=klom, KLoM_F_high=klom + 0.07)
        assert answered(7, frame)[0] != "agrees" and answered(6, frame)[0] != "contradicts", draw


def test_an_order_of_noise_does_not_agree_with_itself() -> None:
    clear = cell_of(papers("RetDev"))
    values = np.random.default_rng(0).standard_normal(len(clear.models))
    noise = Cell(clear.models.assign(RetDev=values), COLUMNS)
    assert own_tau(clear, "RetDev") > 0.8 and abs(own_tau(noise, "RetDev")) < 0.4
    assert told_apart(clear, ["RetDev"])["RetDev"].any() and not told_apart(noise, ["RetDev"])["RetDev"].any()


@pytest.mark.parametrize(("flattered", "verdict"), [(0.3, "agrees"), (-0.3, "contradicts"), (0.0, "not decided")])
def test_a_search_flatters_by_what_its_own_protocol_has_more_than_ours(flattered: float, verdict: str) -> None:
    means = of("RetDev", ft=0.5, ga=0.6, msg=0.7, ct=0.8, salun=0.5, scrub=0.4)
    theirs = models(means, ("findings_paper",), spread=0.05)
    theirs.loc[theirs["seed"] > 2, "RetDev"] += flattered
    assert answered(8, theirs, models(means, spread=0.05))[0] == verdict
    few = theirs[theirs["method"].isin(["ft", "ga"])]
    assert "2 methods are too few: 5 are needed" in answered(8, few, models(means))[1]


def test_a_search_gains_where_more_than_half_of_the_methods_are_better() -> None:
    searched, run = models(of("RetDev", ft=0.1, ga=0.1, msg=0.1)), ("findings_defaults",)
    verdict, told = answered(9, searched, models(of("RetDev", ft=0.5, ga=0.5, msg=0.05), run))
    assert verdict == "agrees" and "better ft, ga; worse msg" in told and "ft +0.400 [" in told
    assert answered(9, searched, models(of("RetDev", ft=0.05, ga=0.1, msg=0.1), run))[0] == "contradicts"
    assert answered(9, searched, models(of("RetDev", ft=0.5, ga=0.05, msg=0.1), run))[0] == "not decided"


def test_who_diverges_by_default_values_alone_gains_by_a_search() -> None:
    means, run = of("RetDev", ft=0.1, ga=0.1, msg=0.1), ("findings_defaults",)
    verdict, told = answered(9, models(means), models(means, run, failed={"ft": 10}, unusable={"ga": 1}))
    assert verdict == "agrees" and "better ft, ga; worse none" in told and "ga usable 9/10, searched 0.100" in told
    verdict, told = answered(9, models(means, unusable={"ft": 1}), models(means, run))
    assert verdict == "contradicts" and "better none; worse ft" in told


def test_default_values_are_seen_in_records_as_they_are() -> None:
    """Those of the examples, as if the runs of the page had asked for them."""
    folders = {"cifar10-resnet18": "findings", "cifar10-resnet18-defaults": "findings_defaults"}
    frames = []
    for folder, run in folders.items():
        found = Findings.of(read([ROOT / "results" / "examples" / folder]))
        frames.append(found.models.assign(run=run))
        assert found.models["RetDev"].notna().sum() > 2 and set(found.models["run"]) == {"sweep"}
    verdict, told = answered(9, *frames)
    assert verdict == "not decided" and "fewer than 5 seeds" in told, "they have one"


@pytest.mark.parametrize(
    ("newer", "indisc_of_newer", "verdict"),
    [(0.1, 0.99, "agrees"), (0.9, 0.5, "contradicts"), (0.1, 0.5, "not decided"), (0.5, 0.9, "not decided")],
)
def test_newer_methods_are_held_against_the_best_of_the_challenge_in_both_metrics(
    newer: float, indisc_of_newer: float, verdict: str
) -> None:
    means = {name: {"RetDev": 0.5, "Indisc": 0.9} for name in ("msg", "ct")}
    bad = {name: {"RetDev": 2.0, "Indisc": 0.1} for name in (*PAPER, *NEWER)}
    own = {"delete": {"RetDev": newer, "Indisc": indisc_of_newer}, "ssd": {"RetDev": 2.0, "Indisc": 0.1}}
    found, told = answered(10, models({**bad, **means, **own}))
    assert found == verdict
    assert answered(10, models({**means, **own}))[0] == "not run"
    assert verdict != "agrees" or "newer less older +0.090" in told


def test_two_results_where_one_is_meant_are_refused() -> None:
    frame = models(papers("Indisc"))
    with pytest.raises(ConfigError, match=r"(?s)methods that are there twice: bt, .*runs/findings-\*"):
        answered(1, frame, frame)
    with pytest.raises(ConfigError, match="cells: another recipe's, findings's"):
        answered(1, frame, frame.assign(cell="another recipe's", seed=frame["seed"] + 100))


def test_of_real_records_nothing_is_taken_for_a_run_that_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert findings.main([f"records={ROOT / 'results' / 'examples' / 'cifar10-resnet18'}"]) == 0
    assert capsys.readouterr().out.count("| not run |") == 10


def test_nothing_run_is_said_of_every_question() -> None:
    page = findings.page_of(Findings(models(of("RetDev", ft=0.1)).iloc[:0], COLUMNS))
    assert page.count("| not run |") == len(findings.QUESTIONS) == 10


def test_sittings_in_one_folder_are_read_together(tmp_path: Path) -> None:
    examples = ROOT / "results" / "examples"
    for name in ("cifar10-resnet18", "mnist-tinyvit"):
        (tmp_path / name).symlink_to(examples / name)
    assert folders_in(tmp_path) == [tmp_path / "cifar10-resnet18", tmp_path / "mnist-tinyvit"]
