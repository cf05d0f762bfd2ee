"""The contract that every method keeps, on all methods that are discovered here."""

from __future__ import annotations

from typing import Any

import pytest

from deepunlearn.config import method_configs
from deepunlearn.core.params import ParamSpec
from deepunlearn.testing import contract
from deepunlearn.testing.contract import *  # noqa: F403  the tests
from deepunlearn.testing.run import spread

LIMITED = [  # a hyper-parameter, its value, another one that is legal
    ({"type": "int", "default": 5, "le": 5}, 5, 4),
    ({"type": "int", "default": 1, "ge": 1, "between": [1, "epochs"]}, 2, 1),
    ({"type": "int", "default": 1, "words": ["auto"], "ge": 1, "le": 1}, 1, "auto"),
    ({"type": "float", "default": 1, "ge": 1}, 1.0, 2.0),
    ({"type": "float", "default": 0.95, "gt": 0.9, "lt": 1}, 0.95, 0.925),
    ({"type": "float", "default": 0.0, "ge": 0, "le": 0.1}, 0.0, 0.1),
    ({"type": "str", "default": "a", "choices": ["a", "b"]}, "a", "b"),
]


@pytest.mark.parametrize(("limits", "value", "expected"), LIMITED)
def test_another_value_is_within_the_limits_of_the_yaml(limits: dict[str, Any], value: Any, expected: Any) -> None:
    spec = ParamSpec(help="it", **limits)
    assert contract.another(spec, value, {"epochs": 2}) == pytest.approx(expected)
    assert spec.typed("it", expected) == expected


def test_a_text_without_choices_is_passed_over() -> None:
    with pytest.raises(pytest.skip.Exception, match="list some as `choices`"):
        contract.another(ParamSpec(help="it", type="str", default="layer1", searched=False), "layer1", {})


def test_the_epochs_of_several_networks_may_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(own: dict[str, Any]) -> dict[str, Any]:
        return {"passes" if name == "epochs" else name: value for name, value in own.items()}

    plain = method_configs()["ft"]
    other = plain.model_copy(update={"space": renamed(plain.space)})
    build = contract.make_method
    monkeypatch.setattr(contract, "make_method", lambda _, own: build(plain, {"epochs": own.pop("passes"), **own}))
    contract.test_together_it_is_as_by_itself(other)


METHODS = list(method_configs().values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    spread(metafunc, "method", METHODS)
