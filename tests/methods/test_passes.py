"""What methods pass over in training, against the table by which stored results are told apart (core/passes.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from deepunlearn.config import method_configs
from deepunlearn.core.passes import PASSES, TOGETHER
from deepunlearn.data.loader import Part
from deepunlearn.testing.contract import data, quick_params, unlearn


@pytest.mark.parametrize("name", PASSES)
def test_the_table_names_all_that_a_method_trains_on_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, batches = set(), Part.batches

    def recording(self: Part, batch_size: int, *arguments: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        seen.add((len(self), batch_size))
        return batches(self, batch_size, *arguments)

    monkeypatch.setattr(Part, "batches", recording)
    method = method_configs()[name]
    params = quick_params(method)
    unlearn(method, "smallnet")
    sizes = {part: len(samples) for part, samples in data("smallnet").items()}
    sizes[TOGETHER] = sizes["retain"] + sizes["forget"]
    assert seen == {(sizes[part], params[size]) for size, parts in PASSES[name].items() for part in parts}
    assert len({sizes[part] for part in ("retain", "forget", "val", TOGETHER)}) == 4, "else parts could be mistaken"


def test_every_method_of_the_first_versions_is_in_the_table() -> None:
    """One that comes later may stand there or not: nothing of it was made under the first rule."""
    assert set(method_configs()) >= set(PASSES) and len(PASSES) == 19
