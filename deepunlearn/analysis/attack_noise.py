"""How far Indisc and Disc_AUC can be trusted: their noise floor, and where they contradict each other."""

from __future__ import annotations

import pandas as pd

from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.noise import Floor, contradiction, disc_auc_floor_of, floor_of

NO_DIFFERENCE = "no difference"  # in place of a method
EXPLAINED = (
    "no difference: what the attack gives for as many samples of one distribution, its mean and, in brackets, where "
    "95 % of models lie; all seeds share their samples, so the floor of a mean over seeds is no narrower. What the "
    "retrained models have is the other reference."
)


def floors(rows: pd.DataFrame) -> dict[str, float]:
    """The floors by column name, for the tables' data; rows: of one cell, at least one."""
    return {f"{name}_floor_{end}": value for name, one in _floors(rows).items() for end, value in one._asdict().items()}


def _floors(rows: pd.DataFrame) -> dict[str, Floor]:
    first = rows.iloc[0]
    auc = disc_auc_floor_of(int(first["n_forget"]), int(first["n_test"]))
    return {"Indisc": floor_of(int(_sizes(rows).iloc[0])), "Disc_AUC": auc}


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
    size, first = _sizes(rows).iloc[0], rows.iloc[0]
    why = f"{size} samples on each side; of Disc_AUC {first['n_forget']} and {first['n_test']}"
    return {"method": NO_DIFFERENCE, **told, "why": why}


def contradicted(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether Indisc and Disc_AUC disagree by more than chance gives, or one threshold beats MIA (`MIA_understated`).

    Chance: what Indisc falls short of 1 in 5 % of models where nothing differs.
    """
    chance = _sizes(rows).map({size: 1 - floor_of(size).end for size in set(_sizes(rows))})
    gap = pd.Series(contradiction(rows["Indisc"].to_numpy(float), rows["Disc_AUC"].to_numpy(float)), index=rows.index)
    return (gap > chance) | rows["MIA_understated"].fillna(False).astype(bool)


def _sizes(rows: pd.DataFrame) -> pd.Series[int]:
    """What the attack trims the larger side to."""
    return rows[["n_forget", "n_test"]].min(axis="columns")
