"""Which runs count as made with other batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from deepunlearn.config import method_configs, read_command
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.passes import PASSES, TOGETHER, runs_differ
from deepunlearn.data.loader import Part
from deepunlearn.testing.contract import data, quick_params, unlearn

SIZES = {"retain": 4050, "forget": 450, "val": 500}


@cache
def method(*arguments: str) -> MethodConfig:
    (found,) = read_command(list(arguments)).sweep.methods
    return found


def differs(chosen: MethodConfig, sizes: dict[str, int] | None = None, **given: Value) -> bool:
    params = chosen.complete({name.replace("__", "."): value for name, value in given.items()})
    return runs_differ(chosen, sizes or SIZES, {name: (value,) for name, value in params.items()})


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("scrub", {}, True),  # 450 at 64
        ("scrub", {"forget_batch_size": 128}, False),
        ("scrub", {"forget_batch_size": 128, "retain_batch_size": 4048}, True),
        ("ga", {"batch_size": 64}, True),
        ("ga", {"batch_size": 128}, False),
        ("ga", {"batch_size": 450}, False),  # one batch
        ("ga", {"batch_size": 449}, False),  # a single sample joined it before
        ("ga", {"batch_size": 448}, True),
        ("ft", {"batch_size": 64}, False),  # reads no forget set; 4050 at 64 leaves 18
        ("ft", {"batch_size": 135}, False),  # 30 whole ones
        ("ft", {"batch_size": 578}, True),  # 4 are left
        ("srl", {"batch_size": 64}, False),  # 4500 at 64 leaves 20
        ("srl", {"batch_size": 640}, False),
        ("srl", {"batch_size": 749}, True),  # 6 are left of both together
        ("kde", {"batch_size": 83}, True),  # 500 at 83 leaves 2
        ("bt", {"batch_size": 64, "retain_fraction": 0.5}, False),  # 2025 + 450 leave 43
        ("bt", {"batch_size": 103, "retain_fraction": 0.5}, True),  # and 3 at 103
        ("bt", {"batch_size": 103}, False),
        ("ff", {}, False),
        ("iu", {}, False),
    ],
)
def test_the_passes_of_a_method_decide(name: str, params: dict[str, Any], expected: bool) -> None:
    assert differs(method(f"method={name}"), **params) == expected


def test_a_chain_and_a_masked_method_are_what_their_steps_are() -> None:
    chain = method("method=chain", "chain.steps=[ft,ga]")
    assert differs(chain, **{"0__batch_size": 128, "1__batch_size": 64})
    assert not differs(chain, **{"0__batch_size": 64, "1__batch_size": 128})
    assert not differs(method("method=ft", "method.mask.threshold=0.5"), batch_size=64)


def test_what_cannot_be_known_counts_as_different() -> None:
    built_in = method("method=ft")
    theirs = built_in.model_copy(update={"modules": {"ft": "their.module"}})
    assert not differs(built_in) and differs(theirs)
    assert runs_differ(built_in, SIZES, {"batch_size": None})
    assert runs_differ(method("method=bt"), SIZES, {"batch_size": (64,), "retain_fraction": None})


def test_one_of_several_values_is_enough() -> None:
    ga = method("method=ga")
    assert runs_differ(ga, SIZES, {"batch_size": (64, 128, 256)})
    assert not runs_differ(ga, SIZES, {"batch_size": (128, 256)})


def test_a_method_that_came_later_has_nothing_to_tell_apart() -> None:
    assert not differs(method("method=ga").model_copy(update={"name": "newer"}), batch_size=64)


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
