"""Names of result sets: short, no two alike, never an id."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from deepunlearn.analysis.page.names import labels_of, titles_of
from deepunlearn.analysis.rows import with_derived
from deepunlearn.metrics.row import DTYPES, NAMES
from tests.analysis.conftest import row


def rows(*sets: dict[str, Any]) -> pd.DataFrame:
    """A row of each of some sets, called s0, s1, ..."""
    named = [row(**changes) | {"name": f"s{number}"} for number, changes in enumerate(sets)]
    return with_derived(pd.DataFrame(named, columns=[*NAMES, "name"]).astype(DTYPES))


def test_one_set_is_named_by_dataset_architecture_forget_set_and_search() -> None:
    named = titles_of(rows({"dataset_title": "CIFAR-10", "search": "paper"}))
    assert named == {"s0": "CIFAR-10, ResNet18, random 10 %, paper search"}


def test_what_tells_sets_apart_is_said_only_where_it_is_needed() -> None:
    named = titles_of(
        rows(
            {"protocol": "paper"},
            {"protocol": "heldout"},
            {"dataset_title": "MNIST", "protocol": "heldout"},
        )
    )
    alike = "Digits, ResNet18, random 10 %, quick search"
    assert named == {
        "s0": f"{alike}, paper protocol",
        "s1": f"{alike}, heldout protocol",
        "s2": "MNIST, ResNet18, random 10 %, quick search",
    }


def test_a_limit_is_told_from_none() -> None:
    assert [text.rpartition(", ")[2] for text in titles_of(rows({"limit": 500}, {"limit": None})).values()] == [
        "limit 500",
        "no limit",
    ]


def test_sets_that_nothing_tells_apart_are_numbered() -> None:
    titles = list(titles_of(rows({}, {}, {})).values())
    assert [text.rpartition(" (")[2] for text in titles] == ["1 of 3)", "2 of 3)", "3 of 3)"]
    assert not re.search(r"[0-9a-f]{8}", "".join(titles))


def test_hyper_parameters_that_were_not_searched_are_called_so() -> None:
    assert labels_of(rows({"search": "default"})).search == "default values"
    assert labels_of(rows({"search": "file"})).search == "given values"


def test_a_named_forget_set_is_called_by_its_name() -> None:
    assert labels_of(rows({"forget_title": "class airplane"})).forget == "class airplane"
    assert labels_of(rows({"forget_title": None, "forget_ratio": 0.025})).forget == "random 2.5 %"
