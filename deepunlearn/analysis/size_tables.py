"""Tables over sizes of the forget set: the methods' order at each, where each stops being usable, what FA can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from deepunlearn.analysis.inference import FEWEST_SEEDS
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.analysis.sizes import BySize, Limit, Size, by_size, exact, forget_accuracy, not_applicable
from deepunlearn.metrics import FOLDS

NAMES = ("sizes", "sizes-limits", "sizes-accuracy")  # what files of each series begin with
DIFFERS = "‡"  # beside a method that differs from the best of its size
NONE = "none"
ORDER = (
    "The usable models' methods at each size, best first, with their means over seeds; {metric} orders at every size"
    "{why}. {differs}: differs from the best (paired t-test over seeds, Holm's correction over all pairs; not testable "
    f"below {FEWEST_SEEDS} seeds). How sure: as in a ranking of this size alone. The attack is n/a below {FOLDS} "
    "samples; else it says what it gives where nothing differs, and where 95 % of models lie."
)
LIMITS = (
    "The first size at which fewer models of a method are usable than there are seeds (docs/protocol.md, section 5), "
    "with the usable models there and the exact 95 % interval (Clopper and Pearson) of the share that would be usable "
    "of many seeds. Cannot tell: not run at every smaller size."
)
ACCURACY = (
    "Accuracy on the forget set, mean over usable models, and the exact 95 % interval (Clopper and Pearson) of what "
    "one model has on many samples like these, the widest of the models': all seeds answer the same samples, so that "
    "more seeds do not make it narrower. Where it holds the retrained model's, these samples cannot tell them apart."
)


def size_tables(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """Of every series of sizes. frame, cases: as in `Records`; remark: what every caption opens with."""
    return [table for one in by_size(frame, cases) for table in _tables(one, remark)]


def _tables(own: BySize, remark: str) -> Iterator[Table]:
    facts, first = caption_text(describe(own.series.rows)), own.series.rows.iloc[0]
    place = f"{first['dataset_title']}, {first['arch_title']} ({own.series.label})"
    name = own.series.name
    yield Table(
        f"sizes-{name}", f"{place}: which method for which size", f"{remark}{_order_caption(own)} {facts}",
        _order_data(own), _order_shown(own), {_by(own.metrics[0]): 6, _by(own.metrics[1]): 6, "how sure": 5},
    )  # fmt: skip
    yield Table(
        f"sizes-limits-{name}", f"{place}: up to which size each method is usable", f"{remark}{LIMITS} {facts}",
        _limits_data(own), _limits_shown(own), {"why": 7},
    )  # fmt: skip
    accuracy = _accuracy_data(own)
    yield Table(
        f"sizes-accuracy-{name}", f"{place}: what accuracy on the forget set can tell", f"{remark}{ACCURACY} {facts}",
        accuracy, _accuracy_shown(accuracy),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- order at each size


def _by(metric: str) -> str:
    return f"best first, by {metric}"


def _order_caption(own: BySize) -> str:
    why = "" if own.metrics[0] == "RetDev" else ", since RetDev is not defined for every model"
    return ORDER.format(metric=own.metrics[0], why=why, differs=DIFFERS)


def _order_shown(own: BySize) -> pd.DataFrame:
    return pd.DataFrame([_order_line(size, own.titles) for size in own.sizes])


def _order_line(size: Size, titles: dict[str, str]) -> dict[str, str]:
    orders = {_by(metric): _in_order(size, metric, titles) for metric in size.scores}
    failed = [f"{one.method_title} ({one.usable})" for one in size.failed.itertuples(index=False)]
    bare = [f"{title} (n/a)" for title in not_applicable(size)]
    return {
        "samples": f"{size.samples:,}",
        "share": f"{100 * size.ratio:.3g} %",
        "seeds": str(size.seeds),
        **orders,
        "not usable": ", ".join([*failed, *bare]) or NONE,
        "how sure": _how_sure(size),
        "attack": _attack(size),
    }


def _in_order(size: Size, metric: str, titles: dict[str, str]) -> str:
    """ "FT 0.012, CT 0.034 ‡", or why there is no order."""
    order = size.order(metric)
    if order.empty:
        return f"n/a: {size.no_attack}" if metric == "Indisc" and size.no_attack else "n/a: no method has a value"
    lines = order[["method", "mean", "verdict"]].to_numpy().tolist()
    return ", ".join(
        f"{titles[method]} {mean:.3f}" + (f" {DIFFERS}" if verdict == "differs" else "")
        for method, mean, verdict in lines
    )


def _how_sure(size: Size) -> str:
    """The trust of each order, once where it is the same for both; seeds are told beside it."""
    said = {
        metric: one.sentence.partition(": ")[2] for metric, one in size.judged.items() if not size.order(metric).empty
    }
    if len(set(said.values())) == 1:
        told = next(iter(said.values()))
        return told[0].upper() + told[1:]
    return " ".join(f"{metric}: {sentence}" for metric, sentence in said.items()) or "no method has a value"


def _attack(size: Size) -> str:
    if size.no_attack:
        return "n/a"
    floors = size.floors
    return "; ".join(
        f"{name} {floors[f'{name}_floor_mean']:.3f} ({side} {floors[f'{name}_floor_end']:.3f})"
        for name, side in (("Indisc", ">"), ("Disc_AUC", "<"))
    )


def _order_data(own: BySize) -> pd.DataFrame:
    """A line per size and method: by metric the mean, the place, and the test against the best."""
    return pd.DataFrame([line for size in own.sizes for line in _lines(size)])


def _lines(size: Size) -> Iterator[dict[str, Any]]:
    orders = {metric: size.order(metric) for metric in size.scores}
    for one in size.lines.itertuples(index=False):
        line = {
            "samples": size.samples, "forget_ratio": size.ratio, "method": one.method,
            "method_title": one.method_title, "status": one.status, "n_usable": one.n_usable, "n_seeds": one.n_seeds,
        }  # fmt: skip
        for metric, order in orders.items():
            found = order[order["method"] == one.method]
            known = len(found) > 0
            line |= {
                f"{metric}_mean": found["mean"].iloc[0] if known else float("nan"),
                f"{metric}_place": found["place"].iloc[0] if known else pd.NA,
                f"{metric}_p": found["p"].iloc[0] if known else float("nan"),
                f"{metric}_verdict": found["verdict"].iloc[0] if known else "",
                f"{metric}_refused": size.judged[metric].refused,
            }
        yield line


# -------------------------------------------------------------------------------------------- where a method is usable


def _limits_data(own: BySize) -> pd.DataFrame:
    lines = []
    for method in _by_title(own):
        limit = own.limit(method)
        span = exact(limit.usable, limit.seeds) if limit.seeds else None
        lines.append(
            {
                "method": method,
                "method_title": own.titles[method],
                "stops_at": pd.NA if limit.samples is None else limit.samples,
                "n_usable": limit.usable,
                "n_seeds": limit.seeds,
                "share_low": float("nan") if span is None else span.low,
                "share_high": float("nan") if span is None else span.high,
                "usable_again_at": " ".join(map(str, limit.again)),
                "unknown_at": " ".join(map(str, limit.unknown)),
                "why": limit.why,
            }
        )
    return pd.DataFrame(lines)


def _by_title(own: BySize) -> list[str]:
    return sorted(own.titles, key=lambda method: (own.titles[method].casefold(), method))


def _limits_shown(own: BySize) -> pd.DataFrame:
    limits = [(own.titles[method], own.limit(method)) for method in _by_title(own)]
    return pd.DataFrame(
        {
            "method": [title for title, _ in limits],
            "stops being usable at": [_stops_at(own, limit) for _, limit in limits],
            "usable there": [_usable_there(limit) for _, limit in limits],
            "why": [limit.why for _, limit in limits],
        }
    )


def _stops_at(own: BySize, limit: Limit) -> str:
    """ "500 samples (usable again at 1,000)", "never at 1 to 500 samples (3 seeds)", or that it cannot be told."""
    unknown = [size for size in limit.unknown if limit.samples is None or size < limit.samples]
    told = f"not run, or not applicable, at {_numbers(unknown)}"
    if limit.samples is None:
        ends = f"{own.sizes[0].samples:,} to {own.sizes[-1].samples:,} samples"
        return f"cannot tell: {told}" if unknown else f"never at {ends}"
    again = f" (usable again at {_numbers(limit.again)})" if limit.again else ""
    return f"{limit.samples:,} sample{'s'[: limit.samples > 1]}{again}" + (f"; {told}" if unknown else "")


def _numbers(sizes: tuple[int, ...] | list[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


def _usable_there(limit: Limit) -> str:
    if limit.samples is None:
        return "all of every size"
    span = exact(limit.usable, limit.seeds)
    return f"{limit.usable} of {limit.seeds} (a share of {span.low:.2f} to {span.high:.2f})"


# ------------------------------------------------------------------------------------------- what an accuracy can tell


def _accuracy_data(own: BySize) -> pd.DataFrame:
    """A line per method and size, references first: mean FA, and its exact interval."""
    first = [(method, method) for method in REFERENCES]
    lines = []
    for method, title in [*first, *((method, own.titles[method]) for method in _by_title(own))]:
        for size in own.sizes:
            found = forget_accuracy(size.rows[size.rows["method"] == method])
            mean, span = found or (float("nan"), (float("nan"), float("nan")))
            lines.append(
                {
                    "method": method,
                    "method_title": title,
                    "samples": size.samples,
                    "FA_mean": mean,
                    "FA_low": span[0],
                    "FA_high": span[1],
                }
            )
    return pd.DataFrame(lines)


def _accuracy_shown(data: pd.DataFrame) -> pd.DataFrame:
    texts = [
        "n/a" if pd.isna(mean) else f"{mean:.3f} [{low:.2f}, {high:.2f}]"
        for mean, low, high in data[["FA_mean", "FA_low", "FA_high"]].to_numpy(float).tolist()
    ]
    wide = data.assign(text=texts).drop_duplicates(["method", "samples"])
    wide = wide.pivot(index="method", columns="samples", values="text").reindex(wide["method"].unique())
    titles = dict(zip(data["method"], data["method_title"], strict=True))
    shown = wide.rename(columns=lambda size: f"{size:,}").rename_axis(columns=None)
    shown.insert(0, "method ", shown.index.map(titles))
    return shown.rename(columns={"method ": "method"}).reset_index(drop=True)
