"""Tables over requests that arrive one after the other: scores of each round, seconds, what becomes of earlier ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from deepunlearn.analysis.inference import FEWEST_SEEDS, mean_interval
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rounds import Course, Crossing, Judged, courses, floats
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.forget.rounds import told
from deepunlearn.metrics import FOLDS
from deepunlearn.metrics.catalogue import BUILT_IN

SCORES = (
    *("RetDev", "RR", "FR", "TR", "RA", "FA", "FA_request", "FA_earlier", "TA"),
    *("Disc_AUC", "Disc_AUC_request", "Disc_AUC_earlier"),
)
EARLIER = ("FA_earlier", "Disc_AUC_earlier")
HOW = (
    "Each method unlearns a request from its own models of the round before; retrained models are those of the samples "
    "that are left in their round. Of a seed only rounds up to the first model that is not usable count. "
)
SPREAD = f"Means over seeds with 95 % intervals (Student's t); with fewer than {FEWEST_SEEDS} seeds ± is their spread. "
OF_SCORES = (
    "FA is accuracy on the samples of all requests so far, FA_request on those of this round, FA_earlier on those of "
    f"the rounds before; Disc_AUC likewise, n/a below {FOLDS} samples."
)
OF_SECONDS = (
    "Seconds of all rounds together, means over seeds. Retraining each time: the seconds of retraining, as timed in "
    "the same process, over all rounds; once: those of the last round alone, for all requests. Cheaper from: the round "
    "from which on, to the last, the method has taken longer, up to each, than retraining in every round, or than "
    "waiting until then and retraining once; in brackets the earliest and latest such round of single seeds. Record: "
    "what methods of the learning phase keep on disk after the last round, and the seconds of training under "
    "observation, paid once before any request and not among those of unlearning. With record: the same rounds where "
    "these seconds count as well."
)
OF_EARLIER = (
    "The samples of requests before the round: accuracy on them and what the loss attack sees of them, less that of "
    f"the retrained models of the same round and seed. The attack is n/a below {FOLDS} samples."
)
OF_VERDICTS = (
    "Usable: the first round in which a seed has no usable model, and why: F, a model failed; n/a, the method cannot "
    "be applied; not run. "
    "Comes back: accuracy on the samples of all but the last request, after the last round, less what it was when each "
    "of them was unlearned, both less the retrained models' of these rounds. Attack: Disc_AUC of these samples after "
    "the last round, less the retrained models'. Erodes: RA of the last round less that of the first, less the same of "
    "the retrained models. Verdicts: t-tests over seeds, Holm's correction over the methods; the intervals are not "
    f"corrected. Below {FEWEST_SEEDS} seeds nothing is said. 'No change seen' is not 'no change': the interval says "
    "how large it may be."
)


def round_tables(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """Of every sequence of requests. frame, cases: as in `Records`; remark: what every caption opens with."""
    return [table for course in courses(frame, cases) for table in _tables(course, remark)]


def title_of(course: Course) -> str:
    """ "Digits, SmallNet, random 10 % in 5 requests"."""
    first = course.rows.iloc[0]
    parts = told(str(first["forget_title"]))
    forgotten = first["forget_title"] if parts is None else parts[0]
    return f"{first['dataset_title']}, {first['arch_title']}, {forgotten} in {len(course.rounds)} requests"


class _Part(NamedTuple):
    name: str
    title: str
    caption: str
    data: pd.DataFrame
    shown: pd.DataFrame


def _tables(course: Course, remark: str) -> Iterator[Table]:
    facts, place = caption_text(describe(course.rows)), title_of(course)
    earlier, verdicts = _earlier_data(course), _verdicts_data(course)
    scores, seconds = _scores_data(course), _seconds_data(course)
    parts = (
        _Part("verdicts", "what becomes of earlier requests", OF_VERDICTS, verdicts, _verdicts_shown(course)),
        _Part("seconds", "seconds over the rounds", OF_SECONDS, seconds, _seconds_shown(course)),
        _Part("scores", "scores in each round", f"{SPREAD}{OF_SCORES}", scores, _scores_shown(course)),
        _Part("earlier", "earlier requests in each round", f"{SPREAD}{OF_EARLIER}", earlier, _earlier_shown(course)),
    )
    for one in parts:
        caption = f"{remark}{HOW}{one.caption} {facts}"
        yield Table(f"rounds-{one.name}-{course.name}", f"{place}: {one.title}", caption, one.data, one.shown)


def _titles(course: Course) -> dict[str, str]:
    """References first."""
    there = set(course.rows["method"])
    return {**{name: name for name in REFERENCES if name in there}, **course.methods}


# -------------------------------------------------------------------------------------------------------- each round


def _lines(course: Course) -> Iterator[tuple[str, str, int, dict[str, pd.Series[float]]]]:
    """Method, its title, round, and by score the values [seeds]."""
    for method, title in _titles(course).items():
        tables = {score: course.table(method, score) for score in SCORES}
        for round in course.rounds:
            yield method, title, round, {score: table[round] for score, table in tables.items()}


def _scores_shown(course: Course) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": title,
                "round": str(round),
                "requested": _count(course.requested, round),
                "forgotten": _count(course.forgotten, round),
                "usable": f"{course.usable(method)[round]}/{len(course.seeds)}",
                **{BUILT_IN[score].header: _over_seeds(own) for score, own in values.items()},
            }
            for method, title, round, values in _lines(course)
        ]
    )


def _count(counts: Mapping[int, int], round: int) -> str:
    return f"{counts[round]:,}" if round in counts else "n/a"


def _over_seeds(values: pd.Series[float]) -> str:
    """ "0.912 [0.900, 0.924]"; "0.912 ± 0.010" of few seeds."""
    known = floats(values)
    if not len(known):
        return "n/a"
    interval = mean_interval(known)
    if interval is not None:
        return f"{known.mean():.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
    return f"{known.mean():.3f}" + (f" ± {known.std(ddof=1):.3f}" if len(known) > 1 else "")


def _scores_data(course: Course) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": method,
                "method_title": title,
                "round": round,
                "requested": course.requested.get(round),
                "forgotten": course.forgotten.get(round),
                "n_usable": course.usable(method)[round],
                "n_seeds": len(course.seeds),
                **{name: value for score, own in values.items() for name, value in _numbers(score, own).items()},
            }
            for method, title, round, values in _lines(course)
        ]
    )


def _numbers(name: str, values: pd.Series[float]) -> dict[str, float]:
    known = floats(values)
    low, high = mean_interval(known) or (float("nan"), float("nan"))
    mean = float(known.mean()) if len(known) else float("nan")
    return {f"{name}_mean": mean, f"{name}_low": low, f"{name}_high": high}


# ---------------------------------------------------------------------------------------------------- earlier requests


def _earlier_shown(course: Course) -> pd.DataFrame:
    lines = []
    for method, title in course.methods.items():
        tables = {column: course.table(method, column) for column in EARLIER}
        excess = {column: course.excess(method, column) for column in EARLIER}
        for round in course.rounds[1:]:
            line = {"method": title, "after round": str(round)}
            for column in EARLIER:
                line[column] = _over_seeds(tables[column][round])
                line[f"{column} less retrained"] = _signed(excess[column][round])
            lines.append(line)
    return pd.DataFrame(lines)


def _signed(values: pd.Series[float]) -> str:
    text = _over_seeds(values)
    return text if text[0] in "-n" else f"+{text}"


def _earlier_data(course: Course) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": method,
                "method_title": title,
                "round": round,
                **_numbers("FA_earlier", course.table(method, "FA_earlier")[round]),
                **_numbers("FA_earlier_excess", course.excess(method, "FA_earlier")[round]),
                **_numbers("Disc_AUC_earlier", course.table(method, "Disc_AUC_earlier")[round]),
                **_numbers("Disc_AUC_earlier_excess", course.excess(method, "Disc_AUC_earlier")[round]),
            }
            for method, title in course.methods.items()
            for round in course.rounds[1:]
        ]
    )


# ------------------------------------------------------------------------------------------------------------ verdicts


def _questions(course: Course) -> dict[str, dict[str, Judged]]:
    return {
        "earlier requests": course.came_back(),
        "attack on them": course.seen_at_last(),
        "retain accuracy": course.eroded(),
    }


def _verdicts_shown(course: Course) -> pd.DataFrame:
    questions = _questions(course)
    return pd.DataFrame(
        [
            {
                "method": title,
                "usable": _usable(course, method),
                **{name: _said(answers[method]) for name, answers in questions.items()},
            }
            for method, title in course.methods.items()
        ]
    )


def _usable(course: Course, method: str) -> str:
    broken = course.broken(method)
    if broken is None:
        return "in every round"
    return f"{course.gap(method)} ({course.usable(method)[broken]}/{len(course.seeds)})"


def _said(one: Judged) -> str:
    """ "comes back: +0.120 [0.080, 0.160]"; the mean alone beside why nothing can be told."""
    if math.isnan(one.mean):
        return one.verdict
    interval = "" if math.isnan(one.low) else f" [{one.low:+.3f}, {one.high:+.3f}]"
    return f"{one.verdict}: {one.mean:+.3f}{interval}"


def _verdicts_data(course: Course) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"question": question, "method": method, "method_title": title, **answers[method]._asdict()}
            for question, answers in _questions(course).items()
            for method, title in course.methods.items()
        ]
    )


# ------------------------------------------------------------------------------------------------------------- seconds


def _seconds_data(course: Course) -> pd.DataFrame:
    return pd.DataFrame([_seconds_line(course, method, title) for method, title in course.methods.items()])


def _seconds_line(course: Course, method: str, title: str) -> dict[str, Any]:
    last, retraining = course.rounds[-1], course.retraining(method)
    each, once = course.dearer_than_each(method), course.dearer_than_once(method)
    return {
        "method": method,
        "method_title": title,
        "seconds": course.spent(method)[last].mean(skipna=False),
        "retraining_each": retraining.cumsum(axis=1, skipna=False)[last].mean(skipna=False),
        "retraining_once": retraining[last].mean(skipna=False),
        "each_cheaper_from": each.round,
        "once_cheaper_from": once.round,
        "each_why": each.why,
        "once_why": once.why,
        "record_MB": course.table(method, "record_MB")[last].mean(),
        "record_seconds": course.recording(method).mean(),
        "each_cheaper_from_with_record": course.dearer_than_each(method, record=True).round,
        "once_cheaper_from_with_record": course.dearer_than_once(method, record=True).round,
    }


def _seconds_shown(course: Course) -> pd.DataFrame:
    lines = []
    for method, title in course.methods.items():
        line = _seconds_line(course, method, title)
        recorded = not math.isnan(line["record_seconds"])
        each, once = course.dearer_than_each(method, record=True), course.dearer_than_once(method, record=True)
        lines.append(
            {
                "method": title,
                "seconds": _two(line["seconds"]),
                "retraining each time": _two(line["retraining_each"]),
                "retraining once": _two(line["retraining_once"]),
                "each time cheaper from": _crossing(course.dearer_than_each(method), course),
                "once cheaper from": _crossing(course.dearer_than_once(method), course),
                "record MB": _two(line["record_MB"], ""),
                "record seconds": _two(line["record_seconds"], ""),
                "each time cheaper from, with record": _crossing(each, course) if recorded else "",
                "once cheaper from, with record": _crossing(once, course) if recorded else "",
            }
        )
    return pd.DataFrame(lines)


def _two(value: float, missing: str = "n/a") -> str:
    return missing if math.isnan(value) else f"{value:.2f}"


def _crossing(one: Crossing, course: Course) -> str:
    """ "round 3 (seeds: 2 to 4)", "never in these 5 rounds"."""
    if one.why:
        return one.why
    told = f"never in these {len(course.rounds)} rounds" if one.round is None else f"round {one.round}"
    known = [round for round in one.of_seeds if round is not None]
    if not known or set(one.of_seeds) == {one.round}:
        return told
    latest = "never" if len(known) < len(one.of_seeds) else str(max(known))
    return f"{told} (seeds: {min(known)} to {latest})"
