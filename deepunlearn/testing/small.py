"""Small data, models and problems, for the contract tests and for tests of one's own methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.method_config import MethodConfig, Needs
from deepunlearn.core.params import Role, Value
from deepunlearn.core.schema import DatasetConfig, RuntimeConfig, TrainConfig
from deepunlearn.core.sharding import placed
from deepunlearn.data.decoded import Decoded
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.random import RandomForget
from deepunlearn.learning import Ensemble, Recorded, Shards
from deepunlearn.methods.base import Problem
from deepunlearn.running import Setting
from deepunlearn.runtime import Runtime

ARCHS = {
    "smallnet": ArchConfig(name="smallnet", title="", module="deepunlearn.archs.small", stochastic=False),
    "resnet18": ArchConfig(name="resnet18", title="", module="deepunlearn.archs.resnet", stochastic=False),
    "tinyvit": ArchConfig(name="tinyvit", title="", module="deepunlearn.archs.tiny_vit"),
}
CLASSES = 4
CPU = torch.device("cpu")


def quick_params(method: MethodConfig, epochs: int = 2, batch_size: int = 32) -> dict[str, Value]:
    """The defaults but for these, and for what the YAML's `contract:` gives where they would hide a hyper-parameter."""
    quick: dict[Role, int] = {"epochs": epochs, "batch_size": batch_size}
    chosen = {name: value for role, value in quick.items() for name in method.with_role(role)}
    return method.complete({**chosen, **method.contract.params})


def runtime(**changes: Any) -> Runtime:
    settings = {"device": "cpu", "precision": "fp32", "threads": 1, "checkpoint_seconds": 0.0, "data_budget_gb": 1.0}
    return Runtime(RuntimeConfig(**{**settings, **changes})).settle()


def dataset(**changes: Any) -> DatasetConfig:
    settings = {"name": "made", "title": "made", "source": "folder", "mean": (0.5,), "std": (0.25,)}
    return DatasetConfig(**{**settings, **changes})


def decoded(train: int = 160, test: int = 40, seed: int = 0) -> Decoded:
    """Random images whose brightness tells their class, so that something can be learnt."""
    random = np.random.RandomState(seed)

    def images(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        noise = random.randint(0, 120, size=(len(labels), 1, 32, 32))
        return np.asarray(noise + 40 * labels[:, None, None, None], np.uint8)

    train_labels, test_labels = np.arange(train) % CLASSES, np.arange(test) % CLASSES
    return Decoded(images(train_labels), images(test_labels), train_labels, test_labels, tuple("abcd"), "0" * 64)


def parts(
    config: DatasetConfig | None = None, *, device: torch.device = CPU, budget: float = 1e9, **sizes: int
) -> dict[str, Part]:
    """Retain, forget, val, test and train of `decoded(**sizes)`; memory-mapped where they take more than `budget`."""
    data = decoded(**sizes)
    split = make_splits(
        data.train_labels,
        data.test_labels,
        limit=None,
        val_ratio=0.2,
        forget=RandomForget(name="random", ratio=0.2),
        seed=1,
    ).of(0)
    return make_parts(data, split, config or dataset(), device, budget)


def model(arch: str = "smallnet", seed: int = 0, here: Runtime | None = None) -> nn.Module:
    return (here or runtime()).to_device(archs.build(ARCHS[arch], CLASSES, 32, seed))


def original_of(arch: str, needs: Needs | None = None, here: Runtime | None = None) -> nn.Module:
    """What a method is given: a network that is not trained, or an ensemble of two."""
    net = Ensemble(model(arch, seed, here) for seed in range(2)) if needs == "shards" else model(arch, here=here)
    return net.requires_grad_(False).eval()


@contextmanager
def problem(
    original: nn.Module, arch: str = "smallnet", seed: int = 0, data: dict[str, Part] | None = None
) -> Iterator[Problem]:
    """A problem under a seeded random state, as the runner makes it."""
    data = data or parts()
    here = runtime()
    with here.seeded(seed) as generator:
        yield make_problem(original, arch, generator, data, here)


def make_problem(
    original: nn.Module,
    arch: str,
    generator: torch.Generator,
    data: dict[str, Part],
    here: Runtime,
    *,
    frozen: frozenset[str] = frozenset(),
    recorded: Recorded | Shards | None = None,
    difficulty: torch.Tensor | None = None,
) -> Problem:
    setting = make_setting(original, arch, data, here, frozen=frozen, recorded=recorded, difficulty=difficulty)
    return setting.problem(generator)


def make_setting(original: nn.Module, arch: str, data: dict[str, Part], here: Runtime, **more: Any) -> Setting:
    """What all runs on `original` share; more: fields of `Setting`."""
    return Setting(
        original=original,
        data=data,
        classes=CLASSES,
        anatomy=partial(archs.anatomy_of, ARCHS[arch]),
        fresh=lambda: here.to_device(archs.build(ARCHS[arch], CLASSES, 32)),
        runtime=here,
        **more,
    )


def shards_of(ensemble: nn.Module, data: dict[str, Part], here: Runtime | None = None) -> Shards:
    """Two shards of two slices, as if no slice had taught its network anything; the forget part is in all of them."""
    train = data["train"]
    gone = np.zeros(len(train), dtype=bool)
    gone[data["forget"].positions_in(train).numpy()] = True
    recipe = TrainConfig(epochs=1, lr=0.05, momentum=0.9, weight_decay=0.0, batch_size=32)

    def states(shard: int, piece: int) -> dict[str, torch.Tensor]:
        return ensemble.get_submodule(f"members.{shard}").state_dict()

    return Shards(placed(len(train), 2, 2, 0), gone, train, recipe, "small", states, here or runtime())


def recorded_of(original: nn.Module, needs: Needs | None, seed: int = 0) -> Recorded | None:
    """A record as if steps of about a hundredth of the weights had been on forget samples, on the model's device."""
    if needs != "updates":
        return None
    generator = torch.Generator().manual_seed(seed)
    updates = {
        name: 0.01 * torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.device)
        if value.is_floating_point()
        else torch.zeros_like(value)
        for name, value in original.state_dict().items()
    }
    size = sum(value.nbytes for value in original.state_dict().values())
    return Recorded(updates, batches=12, affected=5, update_bytes=size)


def difficulty_of(forget: Part, needs: Needs | None, seed: int = 0) -> torch.Tensor | None:
    """Scores of forget samples, all different, in an order of their own."""
    if needs != "difficulty":
        return None
    return torch.randperm(len(forget), generator=torch.Generator().manual_seed(seed)).double()


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal_states(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
