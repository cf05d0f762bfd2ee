"""What every method must keep, for all that are discovered, on every architecture."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, NoReturn

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from deepunlearn import archs
from deepunlearn.composition import load_method, make_method
from deepunlearn.core.errors import ConfigError, Diverged, NotApplicable
from deepunlearn.core.method_config import MethodConfig, Needs
from deepunlearn.core.params import ParamSpec, Value, evaluate
from deepunlearn.data.loader import Part
from deepunlearn.instruments.flops import Counting
from deepunlearn.instruments.memory import Peak
from deepunlearn.learning import Recorded, Shards
from deepunlearn.metrics import LEAST_MOVE
from deepunlearn.running import Run, execute
from deepunlearn.stages.unlearning import distances
from deepunlearn.testing.run import only
from deepunlearn.testing.small import (
    ARCHS,
    CLASSES,
    difficulty_of,
    equal_states,
    make_problem,
    make_setting,
    original_of,
    parts,
    quick_params,
    recorded_of,
    runtime,
    shards_of,
    state,
)
from deepunlearn.together import columns, execute_together

SMALL = {"resnet18": 60, "tinyvit": 60, "smallnet": 160}


@cache
def data(arch: str) -> dict[str, Part]:
    return parts(train=SMALL[arch], test=40)


@cache
def original(arch: str, needs: Needs | None = None) -> nn.Module:
    return original_of(arch, needs)


@cache
def recorded(arch: str, needs: Needs | None) -> Recorded | Shards | None:
    if needs == "shards":
        return shards_of(original(arch, needs), data(arch))
    return recorded_of(original(arch), needs)


class Hidden:
    """Stands for data that a method says it does not read."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"it uses .{name} of data that `reads` does not list")


def unlearn(
    method: MethodConfig,
    arch: str,
    seed: int = 0,
    swap: Mapping[str, Part | Hidden] | None = None,
    on_epoch: Any = None,
    *,
    frozen: frozenset[str] = frozenset(),
    **params: Any,
) -> tuple[nn.Module, Run]:
    here = runtime()
    chosen: Any = {**data(arch), **(swap or {})}
    return execute(
        make_method(method, {**quick_params(method), **params}),
        lambda generator: make_problem(
            original(arch, method.needs),
            arch,
            generator,
            chosen,
            here,
            frozen=frozen,
            recorded=recorded(arch, method.needs),
            difficulty=difficulty_of(data(arch)["forget"], method.needs),
        ),
        here,
        seed,
        on_epoch,
    )


def test_it_works_on_its_own_copy_and_moves_it(method: MethodConfig, arch: str) -> None:
    before_it = original(arch, method.needs)
    before, random_state = state(before_it), torch.get_rng_state()
    parameters: list[tuple[str, int]] = []
    types: list[type] = []

    def look(_: int, net: nn.Module) -> None:
        parameters.append(("ids", sum(id(p) for p in net.parameters())))
        types.append(type(net))

    unlearned, run = unlearn(method, arch, on_epoch=look)
    assert equal_states(before, state(before_it)), "the original was changed"
    assert torch.equal(random_state, torch.get_rng_state()), "the caller's random state was changed"
    assert list(unlearned.state_dict()) == list(before_it.state_dict())
    assert [type(m) for m in unlearned.modules()] == [type(m) for m in before_it.modules()]
    assert all(torch.isfinite(value).all() for value in unlearned.state_dict().values())
    assert distances(unlearned, before_it)["moved"] > LEAST_MOVE, "a silent no-op"
    assert run.epochs == method.epochs_of(quick_params(method)) and run.seconds > 0
    assert len(set(parameters)) == 1, "parameter objects were replaced"
    owned = {value.data_ptr() for value in unlearned.state_dict().values() if value.numel()}
    assert not owned & {value.data_ptr() for value in before_it.state_dict().values() if value.numel()}


def test_equal_seeds_give_equal_bits_and_others_do_not(method: MethodConfig) -> None:
    first, again, other = (state(unlearn(method, "smallnet", seed)[0]) for seed in (3, 3, 4))
    assert equal_states(first, again)
    assert equal_states(first, other) != method.contract.seeded


@only(lambda method: load_method(method.name, method.modules.get(method.name)).together)
def test_together_it_is_as_by_itself(method: MethodConfig) -> None:
    """With other numbers and epochs for each, of which one diverges."""
    arch, plain = "smallnet", quick_params(method)
    rates, rounds = method.with_role("lr"), method.with_role("epochs")
    many: list[dict[str, Any]] = [
        {**plain, **{name: scale * float(plain[name]) for name in rates}, **dict.fromkeys(rounds, epochs)}
        for scale, epochs in ((1.0, 3), (1e30, 3), (0.25, 2), (0.5, 1))
    ]
    setting = make_setting(original(arch), arch, data(arch), runtime())
    made = make_method(method, columns(method, many, torch.device("cpu")))
    outcomes = execute_together(made, setting, [method.epochs_of(params) for params in many], seed=3)
    assert isinstance(outcomes[1], Diverged), "one that diverges ends so"
    for params, outcome in zip(many, outcomes, strict=True):
        if not isinstance(outcome, Diverged):
            alone, run = unlearn(method, arch, seed=3, **params)
            assert outcome[1].epochs == run.epochs and not outcome[0].training
            assert distances(outcome[0], alone)["L2_original"] < 0.02 * distances(alone, original(arch))["L2_original"]


def test_its_costs_can_be_counted(method: MethodConfig) -> None:
    """The counters look into every operation, and some do not bear every way of taking gradients."""
    with Counting() as operations, Peak(runtime()) as peak:
        counted, _ = unlearn(method, "smallnet")
    assert operations.flops >= 0 and peak.bytes > 0
    assert distances(counted, unlearn(method, "smallnet")[0])["moved"] < 1e-3, "it does the same while it is counted"


def other_samples(part: str, instead: str) -> dict[str, Part]:
    """`part` replaced by as many other samples with other labels."""
    own, others = data("smallnet")[part], data("smallnet")[instead]
    chosen = others.subset(range(min(len(own), len(others))))
    return {part: chosen.with_labels((chosen.labels + 1) % CLASSES)}


def test_forget_data_matters_exactly_where_the_method_says_so(method: MethodConfig) -> None:
    others = other_samples("forget", "val")
    same = equal_states(state(unlearn(method, "smallnet")[0]), state(unlearn(method, "smallnet", swap=others)[0]))
    assert same == ("forget" not in method.reads)


def test_validation_data_matters_exactly_where_the_method_says_so(method: MethodConfig) -> None:
    visible = method.contract.val
    same = equal_states(
        state(unlearn(method, "smallnet", **visible)[0]),
        state(unlearn(method, "smallnet", swap=other_samples("val", "forget"), **visible)[0]),
    )
    assert same == ("val" not in method.reads)


def test_data_that_it_does_not_name_is_not_even_looked_at(method: MethodConfig) -> None:
    hidden = {part: Hidden() for part in ("retain", "forget", "val") if part not in method.reads}
    shown, unseen = unlearn(method, "smallnet")[0], unlearn(method, "smallnet", swap=hidden)[0]
    assert equal_states(state(shown), state(unseen))


class Writes:
    """Files that this process opens for writing while `watching`; an audit hook stays for the life of a process."""

    watching = False
    seen: ClassVar[list[str]] = []

    @classmethod
    def hook(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.watching and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            cls.seen.append(str(arguments[0]))


sys.addaudithook(Writes.hook)


def test_it_writes_nothing(method: MethodConfig) -> None:
    Writes.seen.clear()
    Writes.watching = True
    try:
        unlearn(method, "smallnet")
    finally:
        Writes.watching = False
    assert not Writes.seen, "what it writes is timed as unlearning"


def test_it_leaves_nothing_behind(method: MethodConfig) -> None:
    """Thousands of models are made in one process: each goes when nobody holds it, without waiting for a collection."""
    gc.disable()
    try:
        net, _ = unlearn(method, "smallnet")
        held = [weakref.ref(value) for value in (net, *net.parameters())]
        assert all(parameter.grad is None for parameter in net.parameters())
        del net
        assert not [one for one in held if one() is not None]
    finally:
        gc.enable()


def another(spec: ParamSpec, value: Value, known: Mapping[str, Any]) -> Value:
    """A legal value of the parameter other than `value`; known: what `between` may name. Skips where none is known."""
    legal = [one for one in _others(spec, value) if one != value and _is_legal(spec, one)]
    if spec.between is not None:
        low, high = (evaluate(end, known) for end in spec.between)
        if value not in spec.words and low <= int(value) <= high:
            legal = [one for one in legal if one not in spec.words and low <= int(one) <= high]
    if not legal:
        pytest.skip(f"no other value than {value!r} is known: list some as `choices`")
    return spec.typed("it", legal[0])


def _others(spec: ParamSpec, value: Value) -> Iterator[Any]:
    """What another value may be, the likeliest first."""
    if isinstance(value, bool):
        yield not value
        return
    if value in spec.words:
        yield spec.low
    yield from spec.choices or ()
    if isinstance(value, str):
        yield from spec.words
        return
    yield from (value / 2 if value else 0.5, 2 * value) if spec.type == "float" else (value + 1, value - 1)
    limits = [end for end in (spec.gt, spec.ge, spec.lt, spec.le) if end is not None]
    yield from (value + 1, value - 1, spec.low, spec.high, *limits, *((value + end) / 2 for end in limits), *spec.words)


def _is_legal(spec: ParamSpec, value: Any) -> bool:
    try:
        return bool(spec.typed("it", value) == value)
    except ConfigError:
        return False


@only(lambda method: method.needs != "shards")  # whose networks are trained by the sweep, which freezes nothing
def test_what_the_owner_of_a_model_froze_stays_as_it_is(method: MethodConfig) -> None:
    """With the running statistics of a layer that is frozen as a whole; other layers move."""
    frozen = frozenset({"block1.0.weight", "block1.1.weight", "block1.1.bias", "block2.1.bias"})
    unlearned, _ = unlearn(method, "smallnet", frozen=frozen)
    before, after = state(original("smallnet")), state(unlearned)
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    kept = {name for name in before if name in frozen or name.startswith("block1.1.")}
    assert moved and not moved & kept, "give problem.movable(...) what is written without an optimiser"


class Seen:
    """The sizes in which a run asks for training batches, and the rates at which its optimisers step."""

    def __init__(self) -> None:
        self.sizes: set[int] = set()
        self.rates: set[float] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        batches = Part.batches

        def asked(part: Part, batch_size: int, *arguments: Any, **more: Any) -> Iterator[tuple[Tensor, Tensor]]:
            self.sizes.add(batch_size)
            return batches(part, batch_size, *arguments, **more)

        def stepped(optimizer: torch.optim.Optimizer, *_: object) -> None:
            self.rates.update(float(group["lr"]) for group in optimizer.param_groups)

        hook = register_optimizer_step_pre_hook(stepped)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Part, "batches", asked)
            yield
        hook.remove()


@only(lambda method, param: method.space[param].role != "record")  # by which the record is made; a run only reads that
def test_every_hyper_parameter_matters_as_its_role_says(method: MethodConfig, param: str) -> None:
    spec, params = method.space[param], quick_params(method)
    blocks = len(archs.anatomy_of(ARCHS["smallnet"], original("smallnet")).blocks)
    params_then: dict[str, Any] = {**params, param: another(spec, params[param], {**params, "blocks": blocks})}
    now, then = Seen(), Seen()
    with now.watching():
        base, run = unlearn(method, "smallnet")
    with then.watching():
        try:
            different, run_then = unlearn(method, "smallnet", **params_then)
        except NotApplicable:
            return  # a value that is refused on these data was read
    assert not equal_states(state(base), state(different)), f"{param} is searched and never read"
    assert (run.epochs, run_then.epochs) == (method.epochs_of(params), method.epochs_of(params_then)), "role: epochs"
    assert (now.sizes != then.sizes) == (spec.role == "batch_size"), "role: batch_size"
    assert spec.role != "lr" or now.rates != then.rates, "role: lr"


def test_what_happens_at_a_yield_stays_outside_the_run(method: MethodConfig) -> None:
    def disturb(_: int, net: nn.Module) -> None:
        torch.rand(7)
        torch.manual_seed(0)

    assert equal_states(state(unlearn(method, "smallnet")[0]), state(unlearn(method, "smallnet", on_epoch=disturb)[0]))


def test_it_says_where_it_comes_from(method: MethodConfig) -> None:
    text = load_method(method.name, method.modules.get(method.name)).__doc__ or ""
    assert "Source:" in text
