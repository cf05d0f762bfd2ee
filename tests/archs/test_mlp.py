"""The multilayer perceptron: widths, dropout, on pixels and on a table's rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.inspection import inspected
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import Features


def mlp(**args) -> ArchConfig:
    return ArchConfig(name="mlp", title="", module="deepunlearn.archs.mlp", args=args, tables=True, stochastic=False)


def widths(model: nn.Module) -> list[tuple[int, int]]:
    return [(one.in_features, one.out_features) for one in model.modules() if isinstance(one, nn.Linear)]


@pytest.mark.parametrize(("inputs", "first"), [(8, 192), (Features(13), 13)])
def test_its_first_layer_fits_the_inputs(inputs, first) -> None:
    assert widths(archs.build(mlp(), 3, inputs)) == [(first, 256), (256, 256), (256, 3)]
    assert widths(archs.build(mlp(width=(64, 32)), 3, inputs)) == [(first, 64), (64, 32), (32, 3)]
    assert widths(archs.build(mlp(depth=0), 3, inputs)) == [(first, 3)]


def test_rows_are_passed_and_counted() -> None:
    model = archs.build(mlp(width=16), 3, Features(13), seed=0)
    assert model(torch.zeros(5, 13)).shape == (5, 3)
    assert inspected(mlp(width=16), 3, Features(13)).parameters == 13 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3
    assert inspected(mlp(width=16), 3, Features(13)).blocks == 2


def test_dropout_leaves_units_out_while_training_alone() -> None:
    plain, dropping = (archs.build(mlp(width=64, **one), 3, Features(5), seed=0) for one in ({}, {"dropout": 0.5}))
    assert next(name for name, _ in plain.named_parameters()) == "1.weight", "weights are called as before dropout"
    rows = torch.randn(4, 5)
    assert not torch.equal(dropping.train()(rows), dropping(rows)), "another draw each time"
    assert torch.equal(dropping.eval()(rows), dropping(rows))
    assert mlp(dropout=0.5).draws and not mlp().draws and not mlp(dropout=0).draws


def test_a_network_that_takes_no_rows_is_told() -> None:
    network = ArchConfig(name="smallnet", title="", module="deepunlearn.archs.small", tables=True)
    with pytest.raises(ConfigError, match="build_table"):
        archs.build(network, 3, Features(13))


@pytest.mark.parametrize(
    ("args", "said", "remedy"),
    [
        ({"width": (64, 32, 16)}, "width=[64, 32, 16], arch.args.depth=2", "arch.args.depth=3"),
        ({"width": 0}, "arch.args.width=0", "256"),
        ({"width": 2.5}, "2.5", "256"),
        ({"depth": -1}, "arch.args.depth=-1", "arch.args.depth=2"),
        ({"dropout": 1}, "arch.args.dropout=1", "0.2"),
        ({"dropout": "much"}, "arch.args.dropout=much", "0.2"),
    ],
)
def test_wrong_arguments_are_taught(args, said, remedy) -> None:
    with pytest.raises(ConfigError) as error:
        inspected(mlp(**args), 3, Features(13))
    assert said in error.value.given and remedy in str(error.value.remedy)
