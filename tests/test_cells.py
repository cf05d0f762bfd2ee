"""What results of a cell are called, and which earlier results they are."""

from __future__ import annotations

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.keys import STREAMS, ReferenceKey

DIGEST = "ab" * 32


def cell_keys(*arguments: str) -> CellKeys:
    return CellKeys(read_command([*arguments]).sweep.cells[0], DIGEST, 10)


def test_models_of_a_network_without_random_layers_keep_their_key() -> None:
    key = cell_keys("arch=resnet18").reference("original", 0)
    older = {name: value for name, value in key.model_dump().items() if name != "streams"}
    assert key.streams is None and key.hash == ReferenceKey(**older).hash


def test_models_of_a_network_that_draws_while_training_are_new_with_the_second_stream() -> None:
    for arguments in (["arch=tinyvit"], ["arch=resnet18", "arch.module=my.net"]):
        key = cell_keys(*arguments).reference("original", 0)
        assert key.streams == STREAMS and "streams" in key.canonical()
