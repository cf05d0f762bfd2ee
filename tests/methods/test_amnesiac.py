"""Amnesiac unlearning: what one step has learnt is forgotten exactly; of several, what the records say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.ops.normalisation import mend_variances
from deepunlearn.testing.small import equal_states, model, state
from tests.methods.learning import learnt, unlearned_by


def repair(epochs: int) -> dict[str, float | int]:
    return {"lr": 0.05, "weight_decay": 0.0, "batch_size": 16, "epochs": epochs}


@pytest.mark.parametrize(
    "arch", ["smallnet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "tinyvit"))]
)
def test_one_step_that_is_forgotten_leaves_the_initial_weights_exactly(arch: str) -> None:
    original, recorded = learnt(arch, batch_size=32, epochs=1, forgotten=[5])
    assert recorded.batches == recorded.affected == 1
    assert not equal_states(state(original), state(model(arch)))
    net, _ = unlearned_by("amnesiac", original, recorded, arch, **repair(0))
    assert equal_states(state(net), state(model(arch))), "buffers included"


def test_all_that_is_forgotten_leaves_the_initial_weights_nearly() -> None:
    original, recorded = learnt(batch_size=8, epochs=3, forgotten=list(range(32)))
    net, run = unlearned_by("amnesiac", original, recorded, **repair(0))
    for name, value in state(model()).items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-6, atol=1e-7)
    assert run.notes["batches"] == run.notes["affected_batches"] == 12
    assert run.notes["all_updates_MB"] == pytest.approx(12 * recorded.update_bytes / 1e6)


def test_batches_without_a_forget_sample_stay_learnt() -> None:
    original, recorded = learnt(batch_size=8, epochs=1, forgotten=[0])
    assert (recorded.batches, recorded.affected) == (4, 1)
    net, _ = unlearned_by("amnesiac", original, recorded, **repair(0))
    own = state(original)
    assert all(torch.equal(value, (own[name].to(recorded.updates[name].dtype) - recorded.updates[name]).to(value.dtype))
               for name, value in net.state_dict().items() if not name.endswith("running_var"))  # fmt: skip
    assert net.state_dict()["block1.1.num_batches_tracked"] == 3


def test_the_repair_is_fine_tuning_from_there() -> None:
    original, recorded = learnt(batch_size=8, epochs=1, forgotten=[0])
    start, _ = unlearned_by("amnesiac", original, recorded, **repair(0))
    fine_tuned, _ = unlearned_by("ft", start.requires_grad_(False), None, **repair(2))
    repaired, run = unlearned_by("amnesiac", original, recorded, **repair(2))
    assert run.epochs == 2 and equal_states(state(repaired), state(fine_tuned))


def test_a_variance_below_zero_is_mended_and_counted() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(2, track_running_stats=False))
    net[0].running_var.copy_(torch.tensor([-0.5, 0.0, 2.0]))
    assert mend_variances(net) == 1 and net[0].running_var.tolist() == [0.0, 0.0, 2.0]


def test_a_shared_weight_is_taken_back_once_and_a_frozen_one_not_at_all() -> None:
    original, recorded = learnt(batch_size=32, epochs=1, forgotten=[5])
    frozen = frozenset({"block1.0.weight"})
    net, _ = unlearned_by("amnesiac", original, recorded, frozen=frozen, **repair(0))
    kept = {name for name, value in state(original).items() if torch.equal(net.state_dict()[name], value)}
    assert kept == frozen
    everything = frozenset(name for name, _ in original.named_parameters())
    with pytest.raises(NotApplicable, match="everything that was recorded is frozen"):
        unlearned_by("amnesiac", original, recorded, frozen=everything, **repair(0))
