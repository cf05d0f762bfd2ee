"""The training loop against a plain one, resuming, inference."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepunlearn.core.errors import Diverged, StoreError
from deepunlearn.core.schema import TrainConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.ops.optim import sgd
from deepunlearn.ops.step import Step
from deepunlearn.testing.small import dataset, equal_states, model, parts, runtime, state
from deepunlearn.training import Checkpoint, History, load_weights, predict, save_weights, seconds_per_step, train

RECIPE = TrainConfig(epochs=4, lr=0.05, momentum=0.9, weight_decay=5e-4, batch_size=32)
AUGMENTED = parts(dataset(crop_padding=4, flip=True))["train"]


class Stop(Exception):
    pass


def stop_after(epochs: int) -> object:
    def stop(history: History) -> None:
        if len(history.losses) == epochs:
            raise Stop

    return stop


def test_it_is_plain_sgd_with_cosine_annealing() -> None:
    trained, expected = model(), model()
    history = train(trained, AUGMENTED, RECIPE, runtime(), "id")
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    expected.train()
    losses = []
    for epoch in range(4):
        generator = torch.Generator().manual_seed(derive_seed("epoch", "id", epoch))
        values = []
        for x, y in AUGMENTED.batches(32, generator, augment=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(expected(x), y)
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        schedule.step()
        losses.append(sum(values) / len(values))
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-4, atol=1e-6, msg=name)
    assert history.losses == pytest.approx(losses, rel=1e-4)
    assert history.losses[-1] < history.losses[0], "it learns"


class Tied(nn.Module):
    """Two layers that are one, a frozen one, and a weight that no output depends on."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(3 * 32 * 32, 8).requires_grad_(False)
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 10)
        self.second.weight = self.first.weight
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(self.frozen(x.flatten(1))).relu()))


def test_a_network_with_tied_frozen_and_unused_weights_is_kept_and_goes_on(tmp_path: Path) -> None:
    unbroken, broken = Tied(0), Tied(0)
    expected = train(unbroken, AUGMENTED, RECIPE, runtime(), "id")
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    with pytest.raises(Stop):
        train(broken, AUGMENTED, RECIPE, runtime(), "id", checkpoint=checkpoint, on_epoch=stop_after(2))  # type: ignore[arg-type]
    again = Tied(1)
    assert train(again, AUGMENTED, RECIPE, runtime(), "id", checkpoint=checkpoint).losses == expected.losses
    save_weights(tmp_path / "w.safetensors", again)
    load_weights(tmp_path / "w.safetensors", other := Tied(2))
    assert equal_states(state(other), state(unbroken))
    assert other.second.weight is other.first.weight


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["smallnet", "tinyvit"])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, arch: str) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 3})
    unbroken, broken = model(arch), model(arch)
    part = AUGMENTED.subset(range(40))
    expected = train(unbroken, part, recipe, runtime(), "id")
    checkpoint = Checkpoint(tmp_path / "work" / "here.safetensors", 0.0)
    for stop in (1, 2):
        with pytest.raises(Stop):
            train(broken, part, recipe, runtime(), "id", checkpoint=checkpoint, on_epoch=stop_after(stop))  # type: ignore[arg-type]
        broken = model(arch, seed=99)  # a new process starts from other memory
    history = train(broken, part, recipe, runtime(), "id", checkpoint=checkpoint)
    assert equal_states(state(unbroken), state(broken))
    assert history.losses == expected.losses


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    with pytest.raises(Stop):
        train(model(), AUGMENTED, RECIPE, runtime(), "id", checkpoint=checkpoint, on_epoch=stop_after(1))  # type: ignore[arg-type]
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:1000])
    with pytest.raises(StoreError, match=r"here\.safetensors is damaged(.|\n)*delete this file"):
        train(model(), AUGMENTED, RECIPE, runtime(), "id", checkpoint=checkpoint)


def test_what_a_killed_process_left_of_a_checkpoint_goes_with_the_next_one(tmp_path: Path) -> None:
    for name in (".here.safetensors.4194305", ".other.safetensors.4194305"):
        (tmp_path / name).write_bytes(b"half")
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    with pytest.raises(Stop):
        train(model(), AUGMENTED, RECIPE, runtime(), "id", checkpoint=checkpoint, on_epoch=stop_after(1))  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"here.safetensors", ".other.safetensors.4194305"}


def test_other_identities_train_differently_from_the_same_weights() -> None:
    one, other = model(), model()
    train(one, AUGMENTED, RECIPE, runtime(), "a")
    train(other, AUGMENTED, RECIPE, runtime(), "b")
    assert not equal_states(state(one), state(other))


def test_divergence_is_an_error_not_a_model() -> None:
    with pytest.raises(Diverged, match="not finite"):
        train(model(), AUGMENTED, RECIPE.model_copy(update={"lr": 1e12}), runtime(), "id")


def test_prediction_keeps_order_flags_and_random_state() -> None:
    net = model("tinyvit").train()
    net.stages[0].eval()  # type: ignore[union-attr,operator,index]
    flags, random_state = [m.training for m in net.modules()], torch.get_rng_state()
    part = parts()["val"]
    logits = predict(net, part, runtime())
    assert [m.training for m in net.modules()] == flags
    assert torch.equal(torch.get_rng_state(), random_state)
    net.eval()
    with torch.no_grad():
        one_by_one = torch.cat([net(x) for x, _ in part.batches(7)])
    torch.testing.assert_close(torch.from_numpy(logits), one_by_one, rtol=1e-4, atol=1e-4)


def test_weights_survive_the_disk_bit_for_bit(tmp_path: Path) -> None:
    net = model("resnet18", seed=1)
    save_weights(tmp_path / "w.safetensors", net)
    other = model("resnet18", seed=2)
    load_weights(tmp_path / "w.safetensors", other)
    assert equal_states(state(net), state(other))


def test_a_step_is_timed_over_as_many_steps_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    net = model()
    forward = net.forward

    def counting(x: torch.Tensor) -> torch.Tensor:
        counted.append(len(x))
        return forward(x)

    monkeypatch.setattr(net, "forward", counting)
    seconds = seconds_per_step(net, AUGMENTED, RECIPE, runtime(), steps=10)
    assert len(counted) == 15, "five warm-up steps, then those that are timed"
    assert 0 < seconds < 5


def test_initial_weights_depend_on_architecture_classes_and_seed_only() -> None:
    assert equal_states(state(model(seed=1)), state(model(seed=1)))
    assert not equal_states(state(model(seed=1)), state(model(seed=2)))


def test_mean_loss_asks_the_device_once_and_starts_anew() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    step = Step(lambda x: (weight * x).sum(), sgd([weight], lr=0.0), runtime().autocast)
    step(torch.tensor([1.0]))
    step(torch.tensor([3.0]))
    assert step.mean_loss() == pytest.approx(4.0)
    assert step.mean_loss() == 0.0
    step(torch.tensor([math.inf]))
    with pytest.raises(Diverged):
        step.mean_loss()
