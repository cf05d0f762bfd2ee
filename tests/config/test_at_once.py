"""A command of one cell and one method is composed once; it gives what its parts give that are composed apart."""

from __future__ import annotations

import pytest

from deepunlearn.config import command, read_command
from deepunlearn.core.errors import ConfigError

COMMANDS = [
    [],
    ["method=msg", "dataset=cifar10"],
    ["dataset=mnist", "arch=tinyvit", "method=ct", "method.params.lr=0.01", "seeds=[3,4]", "search=quick"],
    ["method=msg", "method.msg.params.init_rate=0.2", "method.space.lr.low=1e-4"],
    ["method.params.lr=null", "train.epochs=3", "dataset.limit=500", "forget.ratio=0.2"],
    ["method=chain", "chain.steps=[ct,ft]", "chain.0.lr=0.01"],
    ["arch=mlp", "arch.args.width=64", "method=salun"],
    ["arch=timm", "arch.model=convnext_atto", "runtime.precision=bf16"],
    ["dataset=cifar10", "dataset.source=folder", "dataset.root=x", "forget=halves", "protocol=heldout"],
    ["launcher=slurm", "launcher.extra={exclude: node01}", "hparams=null", "plan=true"],
    ["method=ft", "method.mask.search=true"],
]
WRONG = [
    ["method=ft", "method.params.init_rate=0.3"],
    ["method=msg", "method.ft.params.lr=0.1"],
    ["train.epoch=3"],
    ["method=mgs"],
    ["dataset=mnist", "dataset.lmit=3", "method=ft"],
    ["method=ft", "search=none", "search.trails=3"],
]


def apart(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> command.Command:
    with monkeypatch.context() as patch:
        patch.setattr(command, "_at_once", lambda *_: None)
        return read_command(arguments)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_it_gives_the_same(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    once = command.composed
    with monkeypatch.context() as patch:
        patch.setattr(command, "composed", lambda overrides: calls.append(overrides) or once(overrides))  # type: ignore[func-returns-value]
        given = read_command(arguments)
    assert len(calls) == 1, "composed once"
    assert given == apart(monkeypatch, arguments)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_is_wrong_is_told_as_by_the_parts(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as told:
        read_command(arguments)
    with pytest.raises(ConfigError) as by_parts:
        apart(monkeypatch, arguments)
    assert str(told.value) == str(by_parts.value)
