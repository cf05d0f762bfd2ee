"""What the searches found and how sure they are: the winner beside the best trials and the search seeds."""

from __future__ import annotations

import json
import math

import pandas as pd

from deepunlearn.analysis.records import COMPONENTS, FIDELITY

METHOD = ["cell", "result_set", "method"]
BEST_SHARE, FEWEST_BEST = 0.1, 3  # the trials whose values show how far a hyper-parameter may vary


def completed(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials (as `Records.trials`) that could win, with `norm`, what the paper's selection goes by."""
    done = trials[trials["state"] == "COMPLETE"]
    return done.assign(norm=(done[list(COMPONENTS)] ** 2).sum(axis=1) ** 0.5)


def spread(trials: pd.DataFrame) -> pd.DataFrame:
    """One line per `METHOD`, for people: `finished` trials by state, `norm_by_seed`, `best_trials`.

    norm_by_seed: the best norm of each search seed. best_trials: lowest and highest value of each hyper-parameter among
    the best tenth of the completed trials, at least 3.
    """
    done = completed(trials)
    columns = {
        "finished": trials.groupby(METHOD)[["state", *FIDELITY]].apply(states),
        "norm_by_seed": done.groupby(METHOD)[["seed", "norm"]].apply(_by_seed),
        "best_trials": done.groupby(METHOD)[["norm", "params"]].apply(_ranges),
    }
    empty = pd.Series(dtype="string")
    table = pd.DataFrame({name: column if len(column) else empty for name, column in columns.items()})
    return table.rename_axis(METHOD).reset_index() if len(table) else pd.DataFrame(columns=[*METHOD, *columns])


def states(trials: pd.DataFrame) -> str:
    """How many there are of each state, and what pruned ones were scored by."""
    names = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "diverged"}
    own = {"PRUNED": pruned_at(trials)}
    counts = trials["state"].value_counts().items()
    return ", ".join(f"{count} {names[str(state)]}{own.get(str(state), '')}" for state, count in counts)


def pruned_at(trials: pd.DataFrame) -> str:
    """` at epoch 2 of 10, scored on 512 samples`, or from where to where, of the pruned ones; empty: not known."""
    known = trials[trials["state"] == "PRUNED"].dropna(subset=list(FIDELITY))
    if known.empty:
        return ""
    epoch, epochs, samples = (_range(known[name].astype(int)).replace("..", " to ") for name in FIDELITY[:3])
    return f" at epoch {epoch} of {epochs}, scored on {samples} samples"


def _by_seed(own: pd.DataFrame) -> str:
    return ", ".join(f"{norm:.3f}" for norm in own.groupby("seed")["norm"].min())


def _ranges(own: pd.DataFrame) -> str:
    count = max(FEWEST_BEST, math.ceil(BEST_SHARE * len(own)))
    values = pd.DataFrame([json.loads(text) for text in own.nsmallest(count, "norm", keep="first")["params"]])
    return ", ".join(f"{name}={_range(values[name].dropna())}" for name in sorted(map(str, values)))


def _range(values: pd.Series) -> str:
    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if any(isinstance(value, str) for value in distinct):
        return "|".join(map(str, distinct))
    return "..".join(dict.fromkeys((_short(distinct[0]), _short(distinct[-1])))) if distinct else "none"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
