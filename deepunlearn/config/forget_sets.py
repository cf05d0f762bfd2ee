"""Forget sets as configurations: the values of a kind of ours or of one's own, validated by its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepunlearn.core.forget import ForgetSet, kind_of
from deepunlearn.core.validation import validate
from deepunlearn.registry import Registered, digest


def forget_set(values: dict[str, Any], registry: Mapping[str, Registered]) -> ForgetSet:
    """The composed `values` as a forget set, with where its code is. Raises ConfigError."""
    name = values["name"]
    module = registry[name].module
    code = None if module is None else digest([module])
    return validate(kind_of(name, module), {**values, "module": module, "code": code}, "forget")
