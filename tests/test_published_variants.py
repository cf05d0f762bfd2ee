"""Variants with defects of published code: each has its defect and nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepunlearn.composition import make_method
from deepunlearn.config.measures import added_measures
from deepunlearn.config.methods import method_config
from deepunlearn.core.measure_config import Column
from deepunlearn.core.params import Value
from deepunlearn.methods import scrub
from deepunlearn.metrics.accuracy import accuracy
from deepunlearn.metrics.added import Outputs, computed
from deepunlearn.metrics.mia import mia_accuracy
from deepunlearn.registry import Folders
from deepunlearn.running import execute
from deepunlearn.testing import measure_contract
from deepunlearn.testing.measure_contract import LABELS, ORIGINAL, logits
from deepunlearn.testing.small import equal_states, make_problem, quick_params, runtime, state
from scripts.published import MEASURES, METHODS
from tests.methods.oracles import DATA, trained

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "scripts" / "published"
FOLDERS = Folders(plugins=str(FOLDER))
FEW = {**DATA, "retain": DATA["retain"].subset(range(24)), "forget": DATA["forget"].subset(range(8))}


def unlearned(name: str, **params: Value) -> nn.Module:
    """A trained network after a method, ours or a variant, with quick values."""
    config, here = method_config(name, FOLDERS), runtime()
    method = make_method(config, {**quick_params(config), **params})
    return execute(method, lambda draws: make_problem(trained(), "smallnet", draws, FEW, here), here, 0)[0]


def moved(name: str, **params: Value) -> set[str]:
    """The parameters that are not the original's afterwards."""
    before, after = state(trained()), unlearned(name, **params)
    return {one for one, value in after.named_parameters() if not torch.equal(value, before[one])}


# ---------------------------------------------------------------------------------------------------------- the methods


def divergences(monkeypatch: pytest.MonkeyPatch, name: str) -> list[float]:
    seen: list[float] = []

    def noted(*given: Any) -> Tensor:
        value = plain(*given)
        seen.append(float(value.detach()))
        return value

    plain = scrub.kl
    with monkeypatch.context() as patched:
        patched.setattr(scrub, "kl", noted)
        unlearned(name, lr=0.05, msteps=1, rewind=False)
    return seen


def test_a_shared_teacher_makes_both_divergences_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, own = (divergences(monkeypatch, name) for name in ("scrub_shared", "scrub"))
    assert len(shared) == len(own) and set(shared) == {0.0}
    assert max(own) > 1e-4


def test_with_a_shared_teacher_and_no_cross_entropy_no_weight_moves() -> None:
    params = {"lr": 0.05, "gamma": 0.0, "weight_decay": 0.0, "rewind": False}
    before = dict(trained().named_parameters())
    for name, moves in (("scrub_shared", False), ("scrub", True)):
        apart = max(
            float((value - before[one]).detach().abs().max())
            for one, value in unlearned(name, **params).named_parameters()
        )
        assert (apart > 1e-5) == moves, f"{name}: {apart}"


@pytest.mark.parametrize(
    ("k", "drawn"),
    [
        (1, {"head.weight", "head.bias"}),  # the last layer before the head is an activation
        (2, {"head.weight", "head.bias"}),  # new values of normalisation are 1 and 0, and near them it was
    ],
)
def test_counted_layers_leave_what_a_block_would_draw_anew(k: int, drawn: set[str]) -> None:
    still = {"lr": 1e-30, "weight_decay": 0.0, "epochs": 1}
    found, meant = moved("euk_counted", k=k, **still), moved("euk", k=1, **still)
    convolutions = {one for one in meant if one.endswith(".0.weight")}
    assert convolutions and not convolutions & found, "the paper's block has weights that stay here"
    assert drawn <= found < meant


@pytest.mark.parametrize(
    ("variant", "method", "defect", "paper"),
    [
        ("ssd_batch", "ssd", {"gradients": "batch"}, {"gradients": "sample"}),
        ("sfron_fast", "sfron", {"beta": 1.0}, {"beta": 0.5}),
    ],
)
def test_a_variant_is_the_method_with_its_defect_as_an_option(
    variant: str, method: str, defect: dict[str, Value], paper: dict[str, Value]
) -> None:
    found = state(unlearned(variant))
    assert equal_states(found, state(unlearned(method, **defect)))
    assert not equal_states(found, state(unlearned(method, **paper)))


@pytest.mark.parametrize(("written", "variant"), METHODS.values())
def test_a_variant_has_the_values_of_its_method_but_for_the_defect(written: str, variant: str) -> None:
    ours, theirs = (method_config(name, FOLDERS) for name in (written, variant))
    differ = {name for name in ours.space if ours.space[name].default != theirs.space[name].default}
    assert list(ours.space) == list(theirs.space) and ours.reads == theirs.reads
    assert differ <= {"gradients"}


# --------------------------------------------------------------------------------------------------------- the measures


@cache
def measure(name: str) -> Any:
    return next(one for one in added_measures(FOLDERS, [name]) if one.name == name)


def values(name: str, of: dict[str, np.ndarray]) -> dict[str, Any]:
    return computed(measure(name), measure_contract.outputs(measure(name), of, 0))


def test_zrf_as_coded_is_read_backwards_and_divided_by_the_classes() -> None:
    given = measure_contract.outputs(measure("zrf_coded"), ORIGINAL, 0)
    models = given.models
    with torch.no_grad():
        random = torch.cat([models.random()(x) for x, _ in models.parts["forget"].blocks(512)]).double().softmax(1)
    shares = torch.from_numpy(ORIGINAL["forget"]).double().softmax(1)
    total, cells = 0.0, 0
    for p, q in zip(shares.flatten().tolist(), random.flatten().tolist(), strict=True):
        m = (p + q) / 2
        total += (m * np.log(m / p) + m * np.log(m / q)) / 2
        cells += 1
    found = computed(measure("zrf_coded"), given)["ZRF_coded"]
    assert found == pytest.approx(1 - total / cells, abs=1e-5)


def test_zrf_as_coded_hardly_tells_models_apart_that_zrf_does() -> None:
    near, far = logits(forget=0.0), logits(forget=2.0)
    written = values("zrf", near)["ZRF"] - values("zrf", far)["ZRF"]
    coded = values("zrf_coded", near)["ZRF_coded"] - values("zrf_coded", far)["ZRF_coded"]
    assert 0 < coded < written / 2
    assert values("zrf_coded", far)["ZRF_coded"] > values("zrf", far)["ZRF"]


def test_against_all_classes_a_model_that_forgot_its_class_looks_as_if_it_had_not() -> None:
    """It gets all of class 3 wrong, seen or not, and the rest right: matched, the attack has nothing to go by."""
    retrained = {part: value.copy() for part, value in logits(forget=2.0, others=2.0).items()}
    for part, labels in LABELS.items():
        retrained[part][labels == measure_contract.FORGOTTEN, measure_contract.FORGOTTEN] -= 12
    of, labels = (measure_contract.whole_class(one) for one in (retrained, LABELS))
    given = Outputs(labels, 0, of, of, of, forgotten_classes=(measure_contract.FORGOTTEN,))
    found = computed(measure("unmatched_attack"), given)
    losses = [-np.log(_shares(of[part], labels[part])) for part in ("forget", "unseen_test")]
    assert 1 - abs(2 * mia_accuracy(losses[0], losses[1], 0) - 1) > 0.6
    assert found["Indisc_all"] < 0.4 and found["Disc_AUC_all"] > 0.6
    few = Outputs({**labels, "forget": labels["forget"][:9]}, 0, {**of, "forget": of["forget"][:9]}, of, of)
    assert set(computed(measure("unmatched_attack"), few).values()) == {None}


def _shares(of: np.ndarray, labels: np.ndarray) -> np.ndarray:
    powers = np.exp(of.astype(np.float64) - of.max(axis=1, keepdims=True))
    return np.asarray((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(labels)), labels])


def test_after_relearning_in_place_it_is_another_model_that_is_measured() -> None:
    forgot = logits(forget=0.5)
    found = values("relearn_in_place", forgot)
    assert found["FA_relearnt"] > accuracy(forgot["forget"], LABELS["forget"]) + 0.02
    cut, classes = measure_contract.SETS["where a class is forgotten whole"]
    own = measure_contract.outputs(measure("relearn_in_place"), ORIGINAL, 0, cut, classes)
    assert computed(measure("relearn_in_place"), own)["Indisc_relearnt"] is not None
    known = values("relearn_in_place", ORIGINAL)
    assert known["RA_relearnt"] == accuracy(ORIGINAL["retain"], LABELS["retain"]), "nothing was to be relearnt"


def test_variants_have_columns_of_their_own_that_say_what_they_are() -> None:
    names = {one.name for kind in MEASURES.values() for pair in kind for one in _columns(pair[1])}
    assert {"ZRF_coded", "Indisc_all", "Disc_AUC_all", "RA_relearnt", "UMIA"} <= names


def _columns(name: str) -> list[Column]:
    own = [measure(file.stem) for file in (FOLDER / "measure").glob("*.yaml")] + [measure("umia_erasure")]
    found = [column for one in own for column in one.columns if column.name == name]
    assert len(found) == 1, name
    return found
