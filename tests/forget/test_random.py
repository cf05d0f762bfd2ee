"""A random share or number of samples: sizes, titles, and keys that are as they were before there were numbers."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.forget.random import RandomForget
from tests.forget.small_sets import DATA, cut


def test_a_number_of_samples_is_forgotten() -> None:
    split = cut(RandomForget(name="random", count=37))
    assert split.sizes == {"retain": 643, "forget": 37, "val": 120, "test": 200}
    assert split.unseen_val is split.unseen_test is None and not split.forgotten_classes and not split.remarks
    share = cut(RandomForget(name="random", ratio=37 / 680))
    assert np.array_equal(split.forget, share.forget), "of the same size, the same samples"


def test_a_stored_split_holds_what_it_always_held() -> None:
    assert set(cut(RandomForget(name="random", ratio=0.1)).arrays()) == {"retain", "forget", "val", "test"}


@pytest.mark.parametrize("forget", [{"ratio": 0.1}, {}])
def test_the_key_of_a_share_is_as_it_was(forget: dict[str, float]) -> None:
    assert RandomForget(name="random", **forget).key_fields(DATA) == {"forget": "random", "forget_ratio": 0.1}


def test_the_key_of_a_number_is_another() -> None:
    fields = RandomForget(name="random", count=68).key_fields(DATA)
    assert fields["forget_ratio"] is None and fields["forget_values"] == {"count": 68}


def test_titles() -> None:
    titles = [
        RandomForget(name="random", **size).title for size in ({}, {"ratio": 0.015}, {"count": 1}, {"count": 2000})
    ]
    assert titles == ["random 10 %", "random 1.5 %", "1 random sample", "2,000 random samples"]


def test_the_command_takes_one_size() -> None:
    forget = read_command(["forget.count=20"]).sweep.cells[0].forget
    assert isinstance(forget, RandomForget) and forget.count == 20 and forget.ratio is None
    with pytest.raises(ConfigError, match="two sizes") as error:
        read_command(["forget.count=20", "forget.ratio=0.2"])
    assert error.value.given == "forget.ratio=0.2 forget.count=20" and error.value.remedy
