"""`deepunlearn.evaluate` on models that are not ours."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deepunlearn
from deepunlearn.core.errors import ConfigError, DataError, DataWarning
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.metrics.scores import score
from deepunlearn.testing.small import equal_states, state

CLASSES = 4
Samples = tuple[Tensor, Tensor]
RELATIVE = {"RR", "FR", "TR", "RetDev", "gap", "ToW"}


def samples(count: int, seed: int) -> Samples:
    """Clouds of eight numbers around a centre per class, near enough that no model gets all right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    return 0.5 * torch.eye(CLASSES, 8)[labels] + 0.5 * torch.randn(count, 8, generator=generator), labels


def net(seed: int, height: float = 4.0) -> nn.Module:
    """Right most of the time, with batch statistics and some weights of its own."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    with torch.no_grad():
        model[1].weight.copy_(height * torch.eye(CLASSES, 8) + 0.3 * torch.randn(CLASSES, 8))
    return model.train()


RETAIN, FORGET, UNSEEN, TEST = (samples(count, seed) for seed, count in enumerate((80, 24, 20, 60)))
DATA = {"retain": RETAIN, "forget": FORGET, "unseen": UNSEEN, "test": TEST}
ORIGINAL, UNLEARNED, RETRAINED = (net(seed) for seed in range(3))


def evaluated(*models: nn.Module, retrained: nn.Module | None = RETRAINED, **changes: Any) -> dict[str, Any]:
    first, second = models or (ORIGINAL, UNLEARNED)
    return deepunlearn.evaluate(first, second, retrained=retrained, **{**DATA, **changes})


def hits(model: nn.Module, part: Samples, only: int | None = None) -> float:
    inputs, labels = part
    right = copy.deepcopy(model).eval()(inputs).argmax(1) == labels
    return (right if only is None else right[labels == only]).float().mean().item()


def test_scores_are_those_of_a_sweep() -> None:
    """The same numbers as from stored logits, but for the attack's draw, which goes by the order of the samples."""
    found = evaluated()
    models = {"own": UNLEARNED, "retrained": RETRAINED}
    logits = {
        name: {part: copy.deepcopy(model).eval()(x).detach().numpy() for part, (x, _) in parts().items()}
        for name, model in models.items()
    }
    known = score(logits["own"], logits["retrained"], {part: y.numpy() for part, (_, y) in parts().items()}, seed=0)
    for name in ("RA", "FA", "TA", "RR", "FR", "TR", "RetDev", "gap", "ToW", "MIA_AUC", "Disc_AUC", "usable", "reason"):
        assert found[name] == pytest.approx(known[name]), name
    assert found["MIA"] == pytest.approx(known["MIA"], abs=0.15)
    assert found["FA"] == pytest.approx(hits(UNLEARNED, FORGET)) and found["gap"] > 0
    assert found["reason"] is None and found["usable"] is True


def parts() -> dict[str, Samples]:
    return {"retain": RETAIN, "forget": FORGET, "test": TEST, "unseen_test": UNSEEN}


def test_every_score_of_the_default_measures_is_there_but_those_on_other_data_or_labels_and_of_time() -> None:
    own = {
        column.name
        for measure in BUILT_IN.measures
        if measure.name not in ("time", "corrected", "learning_phase", "requests")
        for column in measure.columns
    }
    missing = {"VA", "VA_retained", "VA_forgotten", "MIA_val", "Disc_val", "MIA_AUC_val"}
    found = evaluated()
    assert set(found) == own - missing | {"usable", "reason"}
    assert {name for name, value in found.items() if value is None} == {"TA_retained", "TA_forgotten", "reason"}


def test_the_retrained_model_itself_is_best() -> None:
    found = evaluated(ORIGINAL, RETRAINED)
    assert (found["RetDev"], found["gap"], found["ToW"], found["L2_retrained"]) == (0, 0, 1, 0)
    assert found["moved"] > 0
    same = evaluated(ORIGINAL, ORIGINAL)
    assert same["moved"] == 0 and same["L2_retrained"] > 0


def test_without_the_retrained_model_the_rest_is_there_and_it_says_so() -> None:
    with_it, without = evaluated(), evaluated(retrained=None)
    lost = {name for name, value in without.items() if value is None and with_it[name] is not None}
    assert lost == RELATIVE | {"L2_retrained", "L2_retrained_rel"}
    assert without["reason"].startswith("no retrained model was given: RR, FR, TR, RetDev, gap, ToW")
    assert {name: without[name] for name in without if name not in lost | {"reason"}} == {
        name: with_it[name] for name in without if name not in lost | {"reason"}
    }


def test_a_class_that_retain_lacks_is_forgotten_whole() -> None:
    def only(part: Samples, keep: Callable[[Tensor], Tensor]) -> Samples:
        return part[0][keep(part[1])], part[1][keep(part[1])]

    own = {
        "retain": only(RETAIN, lambda labels: labels != 3),
        "forget": only(samples(80, 9), lambda labels: labels == 3),
        "unseen": only(samples(80, 8), lambda labels: labels == 3),
    }
    found = evaluated(**own)
    assert found["RetDev"] is None and found["FR"] is None and found["TR"] is not None
    assert found["TA_forgotten"] == pytest.approx(hits(UNLEARNED, TEST, only=3))
    assert found["reason"].startswith("RetDev undefined: class 3 forgotten whole")
    few = evaluated(**{**own, "unseen": only(samples(36, 8), lambda labels: labels == 3)})
    assert few["MIA"] is None and "attack n/a: 9 samples" in few["reason"]


def test_the_attack_looks_at_unseen_and_not_at_test() -> None:
    far = (TEST[0] + 5, TEST[1])
    one, other = evaluated(), evaluated(test=far)
    assert one["MIA_AUC"] == other["MIA_AUC"] and one["TA"] != other["TA"]
    assert evaluated(unseen=far)["MIA_AUC"] != one["MIA_AUC"]


def test_datasets_loaders_and_tensors_say_the_same() -> None:
    sets = {name: TensorDataset(*part) for name, part in DATA.items()}
    loaders = {name: DataLoader(part, batch_size=7, shuffle=True) for name, part in sets.items()}
    pairs = {name: list(part) for name, part in sets.items()}
    assert evaluated() == evaluated(**sets) == evaluated(**loaders) == evaluated(**pairs)


def test_nothing_of_the_callers_is_changed() -> None:
    before = [state(model) for model in (ORIGINAL, UNLEARNED, RETRAINED)]
    random_state = torch.get_rng_state()
    with torch.no_grad():
        evaluated()
    assert torch.equal(random_state, torch.get_rng_state())
    for model, was in zip((ORIGINAL, UNLEARNED, RETRAINED), before, strict=True):
        assert model.training and equal_states(state(model), was)


def test_a_broken_model_is_not_usable_and_has_its_reason() -> None:
    broken = copy.deepcopy(UNLEARNED)
    with torch.no_grad():
        broken[1].weight.fill_(float("nan"))
    found = evaluated(ORIGINAL, broken)
    assert found["usable"] is False and found["reason"] == "weights are not finite"
    assert {name for name, value in found.items() if value is not None} == {"usable", "reason", "moved_buffers"}


def test_another_network_has_scores_but_no_distance() -> None:
    found = evaluated(ORIGINAL, nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES)))
    assert found["moved"] is None and found["RA"] is not None
    assert "no distance to original and retrained: other parameters" in found["reason"]


def test_test_samples_may_be_the_unseen_ones_and_others_are_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluated(unseen=TEST)["MIA"] is not None
    with pytest.warns(DataWarning, match="20 of the 20 samples of unseen are also in forget"):
        evaluated(forget=UNSEEN)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"forget": (FORGET[0], FORGET[1] + 1)}, DataError, "labels of forget are out of the range"),
        ({"unseen": (UNSEEN[0][:, :7], UNSEEN[1])}, DataError, "different shapes"),
        ({"test": []}, DataError, "test is empty"),
        ({"retain": 3}, DataError, "cannot read retain"),
        ({"retrained": nn.Linear(8, CLASSES + 1)}, ConfigError, "original: 4, unlearned: 4, retrained: 5"),
        ({"retrained": nn.Flatten()}, ConfigError, "no parameters"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused(changes: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        evaluated(**changes)
