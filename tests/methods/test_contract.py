"""What every method must keep, for all that are discovered, on every architecture."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from deepunlearn.config import method_configs
from deepunlearn.core.params import ParamSpec, Value
from deepunlearn.core.schema import epochs_of
from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Run, execute, load_method
from deepunlearn.stages import distances
from tests.helpers import ARCHS, CLASSES, equal_states, make_problem, model, parts, runtime, state

METHODS = method_configs()
QUICK = {
    "epochs": 2,
    "batch_size": 32,
    "warmup_epochs": 1,
    "retain_batch_size": 32,
    "forget_batch_size": 16,
    "samples": 20,
}
SPECIAL: dict[str, dict[str, Value]] = {  # where the quick values would leave a hyper-parameter without effect
    "ga": {"batch_size": 8},
    "rni": {"epochs": 4, "fine_epochs": 1, "reset_epochs": 1, "noise": 0.5},
    "cfk": {"epochs": 3, "decay": 0.5},
    "euk": {"epochs": 3, "decay": 0.5},
    "scrub": {"rewind": False, "msteps": 1},
    "ff": {"alpha": 1e-4},
}
SMALL = {"resnet18": 60, "tinyvit": 60, "smallnet": 160}


@cache
def data(arch: str) -> dict[str, Part]:
    return parts(train=SMALL[arch], test=40)


@cache
def original(arch: str) -> nn.Module:
    net = model(arch)
    return net.requires_grad_(False).eval()


def quick_params(name: str) -> dict[str, Value]:
    quick = {key: value for key, value in QUICK.items() if key in METHODS[name].space}
    return METHODS[name].complete({**quick, **SPECIAL.get(name, {})})


def unlearn(
    name: str, arch: str, seed: int = 0, swap: dict[str, Part] | None = None, on_epoch: Any = None, **params: Value
) -> tuple[nn.Module, Run]:
    here = runtime()
    chosen = {**data(arch), **(swap or {})}
    return execute(
        load_method(name)(**{**quick_params(name), **params}),
        lambda generator: make_problem(original(arch), arch, generator, chosen, here),
        here,
        seed,
        on_epoch,
    )


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("name", METHODS)
def test_it_works_on_its_own_copy_and_moves_it(name: str, arch: str) -> None:
    before, random_state = state(original(arch)), torch.get_rng_state()
    parameters: list[tuple[str, int]] = []
    types: list[type] = []

    def look(_: int, net: nn.Module) -> None:
        parameters.append(("ids", sum(id(p) for p in net.parameters())))
        types.append(type(net))

    unlearned, run = unlearn(name, arch, on_epoch=look)
    assert equal_states(before, state(original(arch))), "the original was changed"
    assert torch.equal(random_state, torch.get_rng_state()), "the caller's random state was changed"
    assert list(unlearned.state_dict()) == list(original(arch).state_dict())
    assert [type(m) for m in unlearned.modules()] == [type(m) for m in original(arch).modules()]
    assert all(torch.isfinite(value).all() for value in unlearned.state_dict().values())
    assert distances(unlearned, original(arch))["moved"] > 1e-5, "a silent no-op"
    assert run.epochs == epochs_of(quick_params(name)) and run.seconds > 0
    assert len(set(parameters)) == 1, "parameter objects were replaced"
    owned = {value.data_ptr() for value in unlearned.state_dict().values() if value.numel()}
    assert not owned & {value.data_ptr() for value in original(arch).state_dict().values() if value.numel()}


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_bits_and_others_do_not(name: str) -> None:
    first, again, other = (state(unlearn(name, "smallnet", seed)[0]) for seed in (3, 3, 4))
    assert equal_states(first, again)
    assert not equal_states(first, other)


def other_samples(part: str, instead: str) -> dict[str, Part]:
    """`part` replaced by as many other samples with other labels."""
    own, others = data("smallnet")[part], data("smallnet")[instead]
    chosen = others.subset(range(min(len(own), len(others))))
    return {part: chosen.with_labels((chosen.labels + 1) % CLASSES)}


@pytest.mark.parametrize("name", METHODS)
def test_forget_data_matters_exactly_where_the_method_says_so(name: str) -> None:
    same = equal_states(
        state(unlearn(name, "smallnet")[0]), state(unlearn(name, "smallnet", swap=other_samples("forget", "val"))[0])
    )
    assert same == ("forget" not in METHODS[name].reads)


@pytest.mark.parametrize("name", METHODS)
def test_validation_data_matters_exactly_where_the_method_says_so(name: str) -> None:
    visible = {"rewind": True, "lr": 0.1, "epochs": 4} if name == "scrub" else {}  # rewinding is what reads it
    same = equal_states(
        state(unlearn(name, "smallnet", **visible)[0]),
        state(unlearn(name, "smallnet", swap=other_samples("val", "forget"), **visible)[0]),
    )
    assert same == ("val" not in METHODS[name].reads)


def another(spec: ParamSpec, value: Value) -> Value:
    """A legal value of the parameter other than `value`."""
    if isinstance(value, bool):
        return not value
    if spec.choices is not None:
        return next(choice for choice in (*spec.choices, 16) if choice != value)
    if isinstance(value, float):
        return value / 2 if value else 0.5
    assert isinstance(value, int)
    return value + 1


@pytest.mark.parametrize(("name", "param"), [(name, param) for name in METHODS for param in METHODS[name].space])
def test_every_hyper_parameter_matters(name: str, param: str) -> None:
    spec = METHODS[name].space[param]
    changed = another(spec, quick_params(name)[param])
    base, different = unlearn(name, "smallnet")[0], unlearn(name, "smallnet", **{param: changed})[0]
    assert not equal_states(state(base), state(different)), f"{param} is searched and never read"


@pytest.mark.parametrize("name", METHODS)
def test_what_happens_at_a_yield_stays_outside_the_run(name: str) -> None:
    def disturb(_: int, net: nn.Module) -> None:
        torch.rand(7)
        torch.manual_seed(0)

    assert equal_states(state(unlearn(name, "smallnet")[0]), state(unlearn(name, "smallnet", on_epoch=disturb)[0]))


@pytest.mark.parametrize("name", METHODS)
def test_yaml_and_class_agree_and_say_where_they_come_from(name: str) -> None:
    config = METHODS[name]
    assert config.name == name
    text = load_method(name).__doc__ or ""
    assert "Source:" in text and "Searched:" in text
    for spec in config.space.values():
        assert spec.help
