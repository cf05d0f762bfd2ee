"""Questions of docs/findings.md about single methods: 1 to 5, and 10."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from findings_answers import (
    AGREES,
    CONTRADICTS,
    UNDECIDED,
    Answer,
    Ask,
    Interval,
    in_each_cell,
    judged,
    on_cifar,
)
from findings_cells import CELLS, CIFAR, FF_OURS, FF_PAPER, NEWER, NOT_RUN, PAPER, Cell, Findings
from published import Place, places
from scipy.stats import beta, kendalltau

from deepunlearn.analysis.compare import published as of_the_paper
from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, differences, holm, paired_t
from deepunlearn.analysis.rank import GROUPS, group

CHALLENGE = ("fcs", "msg", "cfw", "prmq", "ct", "kde", "rni")
BY_TIME = ("ct", "ft", "msg", "kde", "prmq", "cfw")  # of the paper's table 2
NEAR = 13 / 15 - 1e-9  # tau of six methods, one swap of neighbours: p 0.017
FEWEST_MODELS = 10  # of which a share of 0 or of 1 says something
TOO_FEW = f"fewer than {FEWEST_SEEDS} seeds"


def at_the_top(metric: str, *asked: str) -> Ask:
    """Questions 1 and 4: methods that are to be in the upper half of the paper's."""
    return in_each_cell(lambda cell, default: _at_the_top(cell, default, metric, asked))


def _at_the_top(cell: Cell, default: Cell | None, metric: str, asked: Sequence[str]) -> tuple[str, str]:
    if lacking := cell.lacking(PAPER):
        return NOT_RUN, lacking
    own = cell.only(PAPER)
    table = own.placed(metric)
    if without := [method for method in asked if method not in table]:
        return UNDECIDED, f"{', '.join(without)} has no {metric} on some seed"
    found = places(table)
    words = []
    for method in asked:
        beside = f", {default.told(metric, method)} by default values" if default else ""
        words.append(f"{method} {own.told(metric, method)}, place {found[method]} of {len(found)}{beside}")
    return judged([_half(found[method], len(found)) for method in asked]), "; ".join(words)


def _half(place: Place, of: int) -> str:
    """Agrees with the upper one, contradicts in the lower one; its interval must be wholly there."""
    if place.low is None or place.high is None:
        return UNDECIDED
    return AGREES if place.high <= of / 2 else CONTRADICTS if place.low > of / 2 else UNDECIDED


def ga_and_ngplus(cell: Cell, default: Cell | None) -> tuple[str, str]:
    """Question 2, in a cell. A method that is not usable everywhere is at the bottom, and worse than one that is."""
    if lacking := cell.lacking(PAPER):
        return NOT_RUN, lacking
    own = cell.only(PAPER)
    told = [_beside(own, default, method) for method in ("ga", "ngplus")]
    if {"ga", "ngplus"} - {*own.whole}:
        verdict = AGREES if "ngplus" in own.whole else CONTRADICTS if "ga" in own.whole else UNDECIDED
        return verdict, "; ".join(told)
    bad = own.bad("RetDev")
    if not {"ga", "ngplus"} <= {*bad} or len(bad) < FEWEST_SEEDS:
        return UNDECIDED, f"{'; '.join(told)}: {TOO_FEW}, or no value on some"
    place = GROUPS[group(bad.mean().to_numpy(float), True)[list(bad).index("ga")]]
    interval = Interval.of(differences(bad["ga"].to_numpy(float), bad["ngplus"].to_numpy(float)))
    assert interval is not None
    worst = place == GROUPS[-1]
    verdict = CONTRADICTS if interval.high < 0 else AGREES if worst and interval.low > 0 else UNDECIDED
    return verdict, f"{'; '.join(told)}; GA is in {place}, its RetDev less that of NG+ {interval}"


def _beside(cell: Cell, default: Cell | None, method: str) -> str:
    beside = f" ({default.told('RetDev', method)} by default values)" if default else ""
    return f"{method} {cell.told('RetDev', method)}{beside}"


def ff_in_both_ranges(found: Findings) -> Answer:
    """Question 3."""
    theirs, ours = (_usable(found.cell(run), "ff") for run in (FF_PAPER, FF_OURS))
    if theirs is None or ours is None:
        return on_cifar(NOT_RUN)
    told = f"usable models, with exact 95 % intervals: {_share(*theirs)} in the paper's range, {_share(*ours)} in ours"
    if theirs[0] or ours[0] < ours[1]:
        return on_cifar(CONTRADICTS, told)
    return on_cifar(AGREES if min(theirs[1], ours[1]) >= FEWEST_MODELS else UNDECIDED, told)


def _usable(cell: Cell | None, method: str) -> tuple[int, int] | None:
    return None if cell is None or method not in cell.methods else cell.usable(method)


def _share(some: int, of: int) -> str:
    """Clopper and Pearson's interval."""
    low = 0.0 if some == 0 else float(beta.ppf(LEVEL / 2, some, of - some + 1))
    high = 1.0 if some == of else float(beta.ppf(1 - LEVEL / 2, some + 1, of - some))
    return f"{some}/{of} [{low:.2f}, {high:.2f}]"


def order_by_time(found: Findings) -> Answer:
    """Question 5. Operations stand beside seconds."""
    cell = found.cell(CELLS[CIFAR])
    if cell is None:
        return on_cifar(NOT_RUN)
    if lacking := cell.lacking(BY_TIME):
        return on_cifar(NOT_RUN, lacking)
    times = cell.values("RTE")
    if unusable := [method for method in BY_TIME if method not in times]:
        return on_cifar(UNDECIDED, f"not usable on every seed: {', '.join(unusable)}")
    own, theirs = times[list(BY_TIME)].mean(), of_the_paper("table2").set_index("method")["cifar10"]
    tau, p = kendalltau(own.to_numpy(float), theirs[list(BY_TIME)].to_numpy(float), method="exact")
    operations = cell.values("FLOPs_ratio")
    words = [
        f"{method} {own[method]:.2f}" + (f" ({operations[method].mean():.2f})" if method in operations else "")
        for method in own.sort_values(ascending=False).index
    ]
    told = f"RTE (in brackets the ratio of operations) {', '.join(words)}; tau {tau:+.2f} (exact p {p:.3f})"
    return on_cifar(AGREES if tau >= NEAR else CONTRADICTS if tau <= 0 else UNDECIDED, told)


def newer_beat_the_challenge(found: Findings) -> Answer:
    """Question 10. Both bests are chosen by the data: the correction is over all pairs of a newer and an older one."""
    cell = found.cell(CELLS[CIFAR])
    if cell is None:
        return on_cifar(NOT_RUN)
    if lacking := cell.lacking((*NEWER, *CHALLENGE)):
        return on_cifar(NOT_RUN, lacking)
    verdicts, told = zip(*(_newer(cell, metric) for metric in ("RetDev", "Indisc")), strict=True)
    return on_cifar(judged(verdicts), *told)


def _newer(cell: Cell, metric: str) -> tuple[str, str]:
    bad = cell.bad(metric)
    newer, older = ([method for method in names if method in bad] for names in (NEWER, CHALLENGE))
    if not newer or not older or len(bad) < FEWEST_SEEDS:
        return UNDECIDED, f"{metric}: {TOO_FEW}, or no method that is usable on all"
    pairs = list(product(newer, older))
    found = {pair: differences(*(bad[method].to_numpy(float) for method in pair)) for pair in pairs}
    p = dict(zip(pairs, holm(np.array([paired_t(one) for one in found.values()])), strict=True))
    best: tuple[str, str] = (str(bad[newer].mean().idxmin()), str(bad[older].mean().idxmin()))
    differs, better = p[best] < LEVEL, found[best].mean() < 0
    means = " and ".join(f"{method} {cell.told(metric, method)}" for method in best)
    words = f"{metric}: {means}, newer less older {Interval.of(-found[best] if _higher(cell, metric) else found[best])}"
    return (UNDECIDED if not differs else AGREES if better else CONTRADICTS), f"{words}, p {p[best]:.3f}"


def _higher(cell: Cell, metric: str) -> bool:
    """Whether higher is better."""
    return cell.columns[metric].better == "higher"
