"""`deepunlearn.unlearn` on models that are unusual: wrapped, in double precision, broken, or that cannot be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import deepunlearn
from deepunlearn.core.errors import ConfigError, DataError, NotApplicable
from deepunlearn.testing.small import equal_states, state
from tests.calls import CLASSES, FORGET, METHODS, RETAIN, VAL, arguments, built, mlp, quick, refusal, unlearned


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_a_wrapped_model_gives_the_network_inside(wrap: Callable[[nn.Module], nn.Module]) -> None:
    assert equal_states(unlearned(wrap(built("MLP"))), unlearned())


@pytest.mark.parametrize("method", sorted(name for name, method in METHODS.items() if method.needs is None))
def test_models_in_float64_stay_in_it(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(196, 4))
    result = deepunlearn.unlearn(
        model.double(),
        retain=RETAIN,
        forget=FORGET,
        val=VAL,
        method=method,
        parts={"blocks": ["0", "1"]},
        **quick(method),
    )
    assert {value.dtype for value in result.parameters()} == {torch.float64}


def test_masks_of_infinity_are_taken() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * self.mask.softmax(0)[0]

    unlearned(Masked())


def broken(name: str, value: float) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3 * 32 * 32), nn.Linear(3 * 32 * 32, CLASSES))
    with torch.no_grad():
        model.state_dict()[name].view(-1)[1] = value
    return model


@pytest.mark.parametrize(
    ("name", "value"), [("2.weight", torch.nan), ("2.bias", torch.inf), ("1.running_var", torch.nan)]
)
def test_weights_that_are_not_finite_are_named(name: str, value: float) -> None:
    error = refusal(ConfigError, broken(name, value))
    assert name in str(error.given) and "learning rate" not in str(error)


def test_logits_that_are_not_finite_are_shown() -> None:
    assert "logits" in refusal(ConfigError, broken("1.running_var", -1.0)).problem


def spread() -> nn.Module:
    model = mlp()
    model[3] = model[3].to("meta")
    return model


def normed() -> nn.Module:
    model = mlp()
    model[3] = nn.utils.weight_norm(model[3])
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no parameters": (nn.Flatten, "no parameters"),
    "no model": (lambda: mlp().state_dict(), "OrderedDict"),
    "half precision": (lambda: mlp().half(), "float16"),
    "bfloat16": (lambda: mlp().bfloat16(), "bfloat16"),
    "two types": (lambda: nn.Sequential(mlp(), nn.Linear(4, 4).double()), "float64"),
    "not initialised": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "1.weight"),
    "no values": (lambda: mlp().to("meta"), "meta"),
    "spread over devices": (spread, "cpu, meta"),
    "scripted": (lambda: torch.jit.script(mlp()), "script"),
    "cannot be copied": (normed, "parametrizations"),
    "other inputs": (lambda: nn.Linear(7, 4), "(2, 3, 32, 32)"),
    "one logit": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1)), "(2, 1)"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm", "ignore:.*torch.jit")
@pytest.mark.parametrize("case", REFUSED)
def test_models_that_cannot_be_unlearned_say_why(case: str) -> None:
    make, named = REFUSED[case]
    assert named in str(refusal(ConfigError, make()))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "0", None, True])
def test_seeds_are_whole_numbers(seed: Any) -> None:
    assert "seed" in str(refusal(ConfigError, seed=seed))


def test_cpu_kernels_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    sgd = torch.optim.SGD

    def noted(*given: Any, fused: bool, **options: Any) -> torch.optim.Optimizer:
        made.append(fused)
        return sgd(*given, fused=fused, **options)

    monkeypatch.setattr(torch.optim, "SGD", noted)
    with_them, without = unlearned(), unlearned(cpu_kernels="off")
    assert made == [True, False]
    for name, value in with_them.items():
        torch.testing.assert_close(without[name], value, msg=name)


def test_other_choices_of_cpu_kernels_are_refused() -> None:
    error = refusal(ConfigError, cpu_kernels="none")
    assert error.given == "none" and error.allowed == "auto, off"


def test_numbers_of_numpy_and_tensors_are_numbers() -> None:
    given = {"seed": np.int64(3), "epochs": np.int32(1), "batch_size": torch.tensor(16), "lr": np.float64(0.25)}
    assert equal_states(unlearned(**given), unlearned(seed=3, epochs=1, batch_size=16, lr=0.25))


def test_extra_state_of_modules_may_be_anything() -> None:
    class Counting(nn.Identity):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

        def set_extra_state(self, value: dict[str, int]) -> None: ...

    result = deepunlearn.unlearn(nn.Sequential(Counting(), mlp()), **arguments())
    assert result.state_dict()["0._extra_state"] == {"calls": 3}


@pytest.mark.parametrize("method", ["ga", "ft"])
def test_one_forget_sample_is_enough_where_nothing_trains_on_it_alone(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    given = arguments(method=method, forget=(FORGET[0][:1], FORGET[1][:1]))
    if method == "ft":
        deepunlearn.unlearn(model, **given)
        return
    with pytest.raises(NotApplicable, match="one sample") as caught:
        deepunlearn.unlearn(model, **given)
    assert "forget: 1" in str(caught.value.given)


class OfTokens(nn.Module):
    """A classifier of texts: its inputs are numbers of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(20, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.words(x).mean(1))
        return logits


@pytest.mark.parametrize("method", ["amun", "boundary_shrink", "jit"])
def test_methods_that_move_inputs_refuse_whole_numbers(method: str) -> None:
    texts = torch.arange(24 * 5).remainder(19).view(24, 5) + 1
    texts[:, 0] = torch.arange(24) // 2 % 20
    labels = torch.arange(24) % CLASSES
    given = arguments(
        method=method, retain=(texts[:16], labels[:16]), forget=(texts[16:], labels[16:]), **quick(method)
    )
    with pytest.raises(NotApplicable, match="real numbers") as error:
        deepunlearn.unlearn(OfTokens(), **given)
    assert "int64" in str(error.value.given)


FRESH: dict[str, tuple[Any, str]] = {
    "a module": (mlp(), "Sequential"),
    "nothing": (lambda: None, "NoneType"),
    "other sizes": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 7), nn.ReLU(), nn.Linear(7, 4)), "1.weight"),
    "the model itself": (lambda: built("MLP"), "equal"),
}


@pytest.mark.parametrize("case", FRESH)
def test_a_fresh_network_is_a_new_one_like_the_model(case: str) -> None:
    fresh, named = FRESH[case]
    before = [parameter.requires_grad for parameter in built("MLP").parameters()]
    assert named in str(refusal(ConfigError, method="bt", fresh=fresh).given)
    assert [parameter.requires_grad for parameter in built("MLP").parameters()] == before


def test_a_network_that_fresh_keeps_stays_as_it_is() -> None:
    kept = mlp()
    before = state(kept)
    results = [unlearned(method="bt", fresh=lambda: kept) for _ in range(2)]
    assert equal_states(*results) and equal_states(before, state(kept))
    assert all(parameter.requires_grad for parameter in kept.parameters())


def test_labels_out_of_range_are_counted() -> None:
    error = refusal(DataError, forget=(FORGET[0], FORGET[1] + 2))
    assert "6 of 12" in error.problem and error.given == "4, 5"


def test_data_for_validation_are_checked_too() -> None:
    assert "3 of 12" in refusal(DataError, val=(VAL[0], VAL[1] - 1)).problem
