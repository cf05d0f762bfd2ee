"""The switch of the CPU kernels: both ways give the same within rounding, and are two ways."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepunlearn import archs
from deepunlearn.core.schema import CpuKernels, TrainConfig
from deepunlearn.kernels import choice, dense, switch
from deepunlearn.kernels.dense import ROWS_FROM, Dense
from deepunlearn.kernels.small_maps import GATHER_FROM, SmallMapConv2d
from deepunlearn.ops.optim import sgd
from deepunlearn.ops.per_sample import parameters_of, per_sample
from deepunlearn.testing.small import ARCHS, CLASSES, equal_states, parts, runtime, state
from deepunlearn.training import Checkpoint, History, load_weights, save_weights, train

CPU = torch.device("cpu")
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BATCHES = {"tinyvit": ROWS_FROM // 16, "resnet18": GATHER_FROM, "smallnet": ROWS_FROM}  # with which kernels are taken
SAMPLES = 2  # whose gradients are taken one by one
LAYERS = {"tinyvit": (41, 2), "resnet18": (1, 19), "smallnet": (1, 3)}  # Dense, SmallMapConv2d with CPU kernels
CONVOLVED = {"tinyvit": 8, "resnet18": -9, "smallnet": 1}  # more convolutions: dense layers are such, small maps not

every_network = pytest.mark.parametrize(
    "arch", ["smallnet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "tinyvit"))]
)
every_choice = pytest.mark.parametrize("kernels", ["auto", "off"])


@pytest.fixture(autouse=True)
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where all kernels do; what a test chooses holds for its length."""
    monkeypatch.setattr(dense, "PAYS", True)
    monkeypatch.setattr(switch, "_switch", switch._Switch())


def placed(arch: str, kernels: CpuKernels) -> nn.Module:
    """As a sweep has it, but without drop path, so that two passes are alike."""
    model = archs.build(ARCHS[arch], CLASSES, 32, seed=0)
    for module in model.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
    return runtime(cpu_kernels=kernels).to_device(model)


def batch(count: int) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return images.to(memory_format=choice.layout(CPU)), torch.arange(count) % CLASSES


def outcome(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Logits, gradients of each sample and of a batch, what two steps change of weights and statistics."""
    x, y = batch(count)
    model.eval()
    each = per_sample(model)(parameters_of(model), x[:SAMPLES], y[:SAMPLES])
    found = {"logits": model(x).detach(), "gradients of each sample": joined(each)}
    before, optimizer = floating(model), sgd(model.train().parameters(), lr=0.01, weight_decay=5e-4)
    for step in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        found |= {} if step else {"gradients": joined({name: one.grad for name, one in model.named_parameters()})}
        optimizer.step()
    return {**found, "change of two steps": floating(model) - before}


def floating(model: nn.Module) -> Tensor:
    return joined({name: value for name, value in model.state_dict().items() if value.is_floating_point()})


def joined(tensors: dict[str, Any]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


@every_network
def test_both_give_the_same_within_rounding(arch: str) -> None:
    plain, ours = (outcome(placed(arch, kernels), BATCHES[arch]) for kernels in ("off", "auto"))
    for name, expected in plain.items():
        assert (ours[name] - expected).norm() < 5e-5 * expected.norm(), name


class Operations(TorchDispatchMode):
    """Counts what PyTorch computes."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func._schema.name] += 1
        return func(*args, **(kwargs or {}))


@every_network
def test_they_are_two_ways(arch: str) -> None:
    convolutions = {}
    for kernels, expected in {"off": (0, 0), "auto": LAYERS[arch]}.items():
        model = placed(arch, kernels).eval()
        layers = Counter(type(module) for module in model.modules())
        assert (layers[Dense], layers[SmallMapConv2d]) == expected
        assert all(one.is_contiguous() for one in model.parameters()) == (kernels == "off")
        x, _ = batch(BATCHES[arch])
        with torch.no_grad(), Operations() as operations:
            model(x)
        convolutions[kernels] = operations.counts["aten::convolution"]
    assert convolutions["auto"] - convolutions["off"] == CONVOLVED[arch]


@every_choice
def test_batches_and_optimisers_follow_the_switch(kernels: CpuKernels) -> None:
    model = placed("smallnet", kernels)
    x, _ = next(parts()["retain"].batches(8))
    assert x.is_contiguous() == (kernels == "off")
    assert sgd(model.parameters(), lr=0.1).defaults["fused"] == (kernels == "auto")


def test_where_dense_layers_do_not_pay_they_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "PAYS", False)
    assert not [module for module in placed("smallnet", "auto").modules() if type(module) is Dense]
    assert "dense products" not in choice.names(CPU) and "small maps" in choice.names(CPU)


def test_without_them_malloc_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(choice, "keep_freed_memory", lambda: told.append("keep"))
    assert runtime(cpu_kernels="off").describe()["cpu_kernels"] == [] == told
    assert runtime(cpu_kernels="auto").describe()["cpu_kernels"] and told == ["keep"]


def test_a_visit_ends_also_on_errors() -> None:
    off = runtime(cpu_kernels="off")
    runtime()
    with pytest.raises(ZeroDivisionError), off.visit(torch.float32):
        assert not choice.in_use(CPU)
        raise ZeroDivisionError
    assert choice.in_use(CPU)


def test_other_devices_have_their_ways_with_and_without_them() -> None:
    for kernels in ("auto", "off"):
        with switch.visit(kernels):
            assert choice.layout(torch.device("meta")) == torch.channels_last
            assert choice.in_one_pass([torch.empty(1, device="meta")])
            assert "memory order" not in choice.names(torch.device("meta"))


@pytest.mark.parametrize(("saved", "loaded"), [("auto", "off"), ("off", "auto")])
@every_network
def test_weights_of_one_are_weights_of_the_other(
    arch: str, saved: CpuKernels, loaded: CpuKernels, tmp_path: Path
) -> None:
    first, second = placed(arch, saved), placed(arch, loaded)
    strides = [one.stride() for one in second.parameters()]
    with torch.no_grad():
        for value in second.parameters():
            value.zero_()
    save_weights(tmp_path / "weights.safetensors", first)
    load_weights(tmp_path / "weights.safetensors", second)
    assert list(first.state_dict()) == list(second.state_dict()) and equal_states(state(first), state(second))
    assert [one.stride() for one in second.parameters()] == strides


class Stop(Exception):
    pass


def stop(history: History) -> None:
    raise Stop


@pytest.mark.parametrize(("before", "after"), [("auto", "off"), ("off", "auto")])
def test_a_training_goes_on_with_the_other(before: CpuKernels, after: CpuKernels, tmp_path: Path) -> None:
    """From its checkpoint, momentum and all."""
    recipe = TrainConfig(epochs=2, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=32)
    part, checkpoint = parts()["train"], Checkpoint(tmp_path / "here.safetensors", 0.0)
    unbroken, begun = placed("smallnet", after), placed("smallnet", before)
    with pytest.raises(Stop):
        train(begun, part, recipe, runtime(cpu_kernels=before), "id", checkpoint=checkpoint, on_epoch=stop)
    resumed = placed("smallnet", after)
    train(resumed, part, recipe, runtime(cpu_kernels=after), "id", checkpoint=checkpoint)
    train(unbroken, part, recipe, runtime(cpu_kernels=after), "id")
    for name, value in unbroken.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_the_page_names_every_kernel() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## CPU kernels")[2].partition("\n## ")[0]
    named = set(re.findall(r"`kernels/(\w+)\.py`", table))
    assert named == {path.stem for path in Path(choice.__file__).parent.glob("*.py")} - {"__init__"}
    assert str(ROWS_FROM) in table and str(GATHER_FROM) in table
