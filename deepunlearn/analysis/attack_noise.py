"""How far Indisc and Disc_AUC can be trusted: their noise floor, and where they contradict each other."""

from __future__ import annotations

import pandas as pd

from deepunlearn.metrics import FOLDS
from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.noise import Floor, contradiction, disc_auc_floor_of, floor_of

NO_DIFFERENCE = "no difference"  # in place of a method
NO_ATTACK = "the attack has too few samples"
EXPLAINED = (
    "no difference: what the attack gives for as many samples of one distribution, its mean and, in brackets, where "
    "95 % of models lie; all seeds share their samples, so the floor of a mean over seeds is no narrower. What the "
    "retrained models have is the other reference."
)


def floors(rows: pd.DataFrame) -> dict[str, float]:
    """The floors by column name, none where the attack is n/a; rows: of one cell, at least one."""
    return {f"{name}_floor_{end}": value for name, one in _floors(rows).items() for end, value in one._asdict().items()}


def samples_on_each_side(rows: pd.DataFrame) -> int:
    """Of the attack; rows: of one cell, at least one."""
    return int(_sizes(rows).iloc[0])


def _floors(rows: pd.DataFrame) -> dict[str, Floor]:
    first = rows.iloc[0]
    members, others = int(first["n_forget"]), int(_unseen(rows).iloc[0])
    if min(members, others) < FOLDS:
        return {}
    return {"Indisc": floor_of(samples_on_each_side(rows)), "Disc_AUC": disc_auc_floor_of(members, others)}


def floor_line(rows: pd.DataFrame, catalogue: Catalogue) -> dict[str, str]:
    """Header -> text of the line `NO_DIFFERENCE` of a table of scores; rows: of one cell, at least one."""
    found = _floors(rows)
    sides = {"higher": ">", "lower": "<"}
    told = {
        column.header: f"{found[column.name].mean:{column.digits}} ({sides[column.better]} "
        f"{found[column.name].end:{column.digits}})"
        for column in catalogue.shown
        if column.name in found
    }
    size, others, first = samples_on_each_side(rows), _unseen(rows).iloc[0], rows.iloc[0]
    why = f"{size} samples on each side; of Disc_AUC {first['n_forget']} and {others}" if found else NO_ATTACK
    return {"method": NO_DIFFERENCE, **told, "why": why}


def contradicted(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether Indisc and Disc_AUC disagree by more than chance gives, or one threshold beats MIA (`MIA_understated`).

    Chance: what Indisc falls short of 1 in 5 % of models where nothing differs.
    """
    sizes = _sizes(rows)
    chance = sizes.map({size: 1 - floor_of(size).end for size in set(sizes) if size >= FOLDS}).astype(float)
    gap = pd.Series(contradiction(rows["Indisc"].to_numpy(float), rows["Disc_AUC"].to_numpy(float)), index=rows.index)
    return (gap > chance) | rows["MIA_understated"].fillna(False).astype(bool)


def _sizes(rows: pd.DataFrame) -> pd.Series[int]:
    """What the attack trims the larger side to."""
    return rows["n_forget"].combine(_unseen(rows), min).astype("int64")


def _unseen(rows: pd.DataFrame) -> pd.Series[int]:
    """How many test samples the attack looks at."""
    return rows["n_unseen_test"].fillna(rows["n_test"]).astype("int64")
