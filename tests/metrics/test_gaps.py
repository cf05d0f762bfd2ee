from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.metrics.gaps import gap, tug_of_war

three = st.tuples(*[st.floats(0, 1)] * 3)


def test_known_values() -> None:
    """Differences 0.1, 0.2 and 0.3, from either side."""
    assert float(gap([0.9, 0.5, 0.3], [0.8, 0.7, 0.6])) == pytest.approx(0.2)
    assert float(tug_of_war([0.9, 0.5, 0.3], [0.8, 0.7, 0.6])) == pytest.approx(0.9 * 0.8 * 0.7)


@given(three, three)
def test_ranges_and_what_is_best(own: tuple[float, ...], retrained: tuple[float, ...]) -> None:
    apart = [abs(one - other) for one, other in zip(own, retrained, strict=True)]
    assert 0 <= gap(own, retrained) <= 1 and gap(retrained, retrained) == 0
    assert 0 <= tug_of_war(own, retrained) <= 1 and tug_of_war(own, own) == 1
    assert float(gap(own, retrained)) == pytest.approx(gap(retrained, own))
    assert float(tug_of_war(own, retrained)) <= 1 - max(apart) + 1e-12, "one part that is far off cannot be made up for"


def test_many_models_at_once_and_what_is_missing() -> None:
    own, retrained = np.array([[0.9, 0.5, 0.3], [math.nan, 0.5, 0.3]]), np.full((2, 3), 0.5)
    assert gap(own, retrained)[0] == pytest.approx(0.2)
    assert np.isnan([gap(own, retrained)[1], tug_of_war(own, retrained)[1]]).all()
