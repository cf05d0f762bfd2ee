"""Chains and masks: what they are made of, what they leave alone, and that they can be searched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs, read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import MASK_THRESHOLD, Value
from deepunlearn.running import execute
from deepunlearn.testing.small import equal_states, make_problem, model, parts, runtime, state
from tests.commands import sweep

DATA = parts()
ORIGINAL = model().requires_grad_(False).eval()
TAKES_MASK = [name for name, config in method_configs().items() if config.mask is not None]


def config(*arguments: str) -> MethodConfig:
    return read_command(arguments).sweep.methods[0]


def run(method: MethodConfig, original: nn.Module = ORIGINAL, **params: Value) -> tuple[nn.Module, int]:
    here = runtime()
    values = method.complete(params)
    net, done = execute(
        make_method(method, values), lambda g: make_problem(original, "smallnet", g, DATA, here), here, seed=7
    )
    return net, done.epochs


QUICK: dict[str, Any] = {"0.epochs": 1, "0.batch_size": 32, "1.epochs": 2, "1.batch_size": 32}


@pytest.mark.slow
def test_a_chain_is_its_steps_one_after_the_other() -> None:
    chain = config("method=chain", "chain.steps=[ct,ft]", "chain.0.lr=0.02", "chain.1.lr=0.03")
    both, epochs = run(chain, **QUICK)
    assert epochs == 3

    def steps() -> nn.Module:
        here = runtime()
        first, second = config("method=ct"), config("method=ft")
        with here.seeded(7) as generator:
            problem = make_problem(ORIGINAL, "smallnet", generator, DATA, here)
            for method, lr, count in ((first, 0.02, 1), (second, 0.03, 2)):
                made = make_method(method, method.complete({"lr": lr, "epochs": count, "batch_size": 32}))
                assert len(list(made.run(problem))) == count
        return problem.model

    assert equal_states(state(both), state(steps()))


@pytest.mark.slow
def test_the_order_of_a_chain_matters_and_the_original_stays_the_teacher() -> None:
    forward, _ = run(config("method=chain", "chain.steps=[ct,bt]"), **QUICK)
    backward, _ = run(config("method=chain", "chain.steps=[bt,ct]"), **QUICK)
    assert not equal_states(state(forward), state(backward))


@pytest.mark.slow
def test_a_step_that_freezes_or_masks_does_not_bind_the_next() -> None:
    chain = config("method=chain", "chain.steps=[cfk,ft]")
    net, _ = run(chain, **QUICK)
    stem = next(iter(net.parameters()))
    assert not torch.equal(stem, next(iter(ORIGINAL.parameters()))), "CF-k froze the stem, FT must move it"
    masked, _ = run(config("method=chain", "chain.steps=[salun,ft]"), **QUICK, **{"0.threshold": 0.01})
    same = sum(int((a == b).sum()) for a, b in zip(masked.parameters(), ORIGINAL.parameters(), strict=True))
    assert same < 0.05 * sum(p.numel() for p in masked.parameters()), "SalUn's mask ends with SalUn"


def test_a_chain_has_its_steps_parameters_ranges_and_data() -> None:
    chain = config("method=chain", "chain.steps=[ct,scrub]")
    assert {"0.lr", "1.msteps", "1.epochs"} <= set(chain.space)
    assert chain.space["1.msteps"].between == (1, "1.epochs")
    ranges = {name: chain.space[name].range(name, "paper", 5, None) for name in ("1.epochs", "1.msteps")}
    assert chain.from_search({"1.epochs": 4, "1.msteps": 0.99}, ranges, blocks=2)["1.msteps"] == 4
    assert set(chain.reads) == {"retain", "forget", "val"}
    assert chain.name == "ct-scrub"


def test_rum_has_the_name_of_its_yaml_with_its_usual_steps_alone() -> None:
    usual, own = config("method=rum"), config("method=rum", "rum.steps=[ft,srl,ngplus]", "rum.1.lr=0.02")
    assert (usual.name, usual.title, usual.needs) == ("rum", "RUM", "difficulty")
    assert usual == method_configs()["rum"]
    assert {"1.lr": 0.1, "1.epochs": 10, "2.lr": 0.1, "2.epochs": 5}.items() <= usual.defaults.items()
    assert (own.name, own.title) == ("rum-ft-srl-ngplus", "RUM (FT, SRL, NG+)")
    assert own.changed == ("rum.1.lr=0.02",) and own.defaults["0.epochs"] == 10 and own.defaults["1.epochs"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["method=chain"], "at least two"),
        (["method=chain", "chain.steps=[ct]"], "at least two"),
        (["method=chain", "chain.steps=[ct,nosuch]"], "nosuch"),
        (["method=chain", "chain.steps=[ct,chain]"], "chain"),
        (["method=chain", "chain.steps=[ct,ft]", "chain.2.lr=0.1"], "chain.2.lr"),
        (["method=chain", "chain.steps=[ct,ft]", "chain.0.lr=-1"], "lr"),
        (["method=rum", "rum.steps=[ft]"], "at least two"),
        (["method=rum", "rum.steps=[none,none]"], "one of them a method"),
        (["method=rum", "rum.steps=[ft,nosuch]"], "nosuch"),
        (["method=rum", "rum.steps=[ft,rum]"], "made of methods"),
        (["method=chain", "chain.steps=[ft,none]"], "none"),
        (["method=rum", "rum.steps=[ft,amnesiac]"], "record of the original's training"),
        (["method=rum", "rum.0.lr=0.1"], "rum.0.lr"),
        (["method=ft", "rum.1.lr=0.1"], "method=rum is not chosen"),
        (["method=rum", "method.rum.values.ft.lr=1"], "not of rum"),
        (["method=ft", "method.mask.threshold=1.5"], "method.mask.threshold"),
        (["method=ff", "method.mask.threshold=0.5"], "method.mask"),
    ],
)
def test_wrong_chains_and_masks(arguments: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        read_command(arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ft", "ga", "ngplus", "bt", "srl", "fcs", "scrub"])
def test_a_mask_holds_the_other_weights_exactly(name: str) -> None:
    masked = config(f"method={name}", "method.mask.threshold=0.1")
    assert MASK_THRESHOLD in masked.fixed and "forget" in masked.reads
    quick = {key: value for key, value in {"epochs": 2, "batch_size": 32, "lr": 0.05}.items() if key in masked.space}
    net, _ = run(masked, **quick, **({"weight_decay": 0.01} if "weight_decay" in masked.space else {}))
    pairs = list(zip(net.parameters(), ORIGINAL.parameters(), strict=True))
    moved = sum(int((a != b).sum()) for a, b in pairs)
    total = sum(a.numel() for a, _ in pairs)
    assert 0.05 * total < moved <= 0.1 * total + 1, "momentum and weight decay must not leak through"


def test_every_method_with_an_optimiser_takes_a_mask() -> None:
    with_rate = {name for name, config in method_configs().items() if config.with_role("lr") and not config.needs}
    assert with_rate - set(TAKES_MASK) == {"salun"} and set(TAKES_MASK) <= with_rate


@pytest.mark.slow
def test_chains_and_masks_are_searched(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        "arch=smallnet",
        "method=chain",
        "chain.steps=[ct,ngplus]",
        "search=quick",
        "search.trials=2",
        "train.epochs=1",
        "seeds=1",
        "dataset.limit=400",
        "search.max_epochs=2",
        "chain.1.alpha=0.9",
    )
    assert done.returncode == 0, done.stderr
    row = next(
        row
        for row in (json.loads(path.read_text()) for path in tmp_path.rglob("row.json"))
        if row["method"] == "ct-ngplus"
    )
    params = json.loads(row["params"])
    assert params["1.alpha"] == 0.9 and {"0.lr", "1.lr"} <= set(params)
    masked = sweep(
        tmp_path, "arch=smallnet", "method=ft", "method.mask.search=true", "search=quick", "search.trials=2",
        "train.epochs=1", "seeds=1", "dataset.limit=400", "search.max_epochs=1",
    )  # fmt: skip
    assert masked.returncode == 0, masked.stderr
    values = [json.loads(json.loads(path.read_text())["params"]) for path in tmp_path.rglob("rows/ft/*/row.json")]
    assert 0 < values[0][MASK_THRESHOLD] <= 1


# ----------------------------------------------------------------------------------------------------- layer-wise masks

LAYERWISE = ("method.mask.kind=layerwise", "method.mask.first=0.2", "method.mask.last=0.8", "method.mask.power=2")


def moved_shares(net: nn.Module) -> dict[str, float]:
    before = ORIGINAL.state_dict()
    return {name: float((value != before[name]).double().mean()) for name, value in net.named_parameters()}


def test_a_layer_wise_mask_lets_more_move_the_deeper_a_layer_lies() -> None:
    masked = config("method=srl", *LAYERWISE)
    assert masked.fixed | {"mask.first": 0.2, "mask.last": 0.8, "mask.power": 2.0} == masked.fixed
    net, _ = run(masked, epochs=2, batch_size=32, lr=0.05, weight_decay=0.01)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in ORIGINAL.named_parameters()))
    for name, weight in ORIGINAL.named_parameters():
        depth = layers.index(name.rpartition(".")[0]) / (len(layers) - 1)
        share = round((0.2 + 0.6 * depth**2) * weight.numel()) / weight.numel()
        assert 0.85 * share <= moved_shares(net)[name] <= share, (
            f"{name}: momentum and weight decay must not leak through"
        )


def test_a_layer_wise_mask_is_drawn_once_in_a_run() -> None:
    masked = config("method=ga", *LAYERWISE)
    long, short = (run(masked, epochs=epochs, batch_size=16, lr=1e-4)[0] for epochs in (3, 1))
    same = [
        (a != o) == (b != o)
        for a, b, o in zip(long.parameters(), short.parameters(), ORIGINAL.parameters(), strict=True)
    ]
    assert sum(int(one.sum()) for one in same) > 0.9 * sum(one.numel() for one in same), "the mask is drawn anew"


def test_with_everything_free_all_weights_move_and_with_nothing_none() -> None:
    free = config("method=ga", "method.mask.kind=layerwise", "method.mask.first=1")
    assert free.fixed["mask.last"] == 1.0 and set(moved_shares(run(free, epochs=2, batch_size=26)[0]).values()) == {1.0}
    held = config("method=ga", "method.mask.kind=layerwise", "method.mask.first=0", "method.mask.last=0")
    assert set(moved_shares(run(held, epochs=2, batch_size=26)[0]).values()) == {0.0}


def test_a_layer_wise_mask_needs_no_forget_data_and_is_left_out_of_what_identifies_others() -> None:
    assert config("method=ft", "method.mask.kind=layerwise").reads == ("retain",)
    plain, saliency = config("method=ft"), config("method=ft", "method.mask.threshold=0.5")
    assert not [name for name in plain.complete({}) if name.startswith("mask.")]
    assert [name for name in saliency.complete({}) if name.startswith("mask.")] == [MASK_THRESHOLD]
    assert "method.mask.kind=saliency" not in saliency.changed and saliency.changed == ("mask.threshold=0.5",)


def test_the_shares_of_a_layer_wise_mask_are_searched_but_for_those_that_are_given() -> None:
    searched = config("method=ft", "method.mask.kind=layerwise", "method.mask.search=true", "method.mask.last=0.9")
    assert searched.fixed == {"mask.last": 0.9}
    assert {name for name, spec in searched.space.items() if name.startswith("mask.") and spec.searched} >= {
        "mask.first",
        "mask.power",
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["method.mask.kind=rowwise"], "method.mask.kind"),
        (["method.mask.kind=layerwise", "method.mask.threshold=0.5"], "method.mask.threshold"),
        (["method.mask.first=0.5"], "method.mask.first"),
        (["method.mask.kind=layerwise", "method.mask.last=1.5"], "method.mask.last"),
        (["method.mask.kind=layerwise", "method.mask.power=0"], "method.mask.power"),
    ],
)
def test_wrong_layer_wise_masks(arguments: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        config("method=ft", *arguments)


def test_a_method_without_an_optimiser_takes_no_layer_wise_mask() -> None:
    with pytest.raises(ConfigError, match=r"method\.mask\.kind"):
        config("method=ff", "method.mask.kind=layerwise")
