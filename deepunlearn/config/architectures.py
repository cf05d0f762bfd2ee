"""Architectures as configurations: what tells two of one name apart."""

from __future__ import annotations

from typing import Any

from deepunlearn.config.files import options, read_yaml
from deepunlearn.core.paths import shipped
from deepunlearn.registry import digest


def identified(values: dict[str, Any]) -> dict[str, Any]:
    """The composed `values` with the digest of a module that is not ours, or not ours of this name."""
    name, module = values["name"], values["module"]
    ours = module.startswith("deepunlearn.") and name in options("arch")
    if ours and read_yaml(shipped("conf") / "arch" / f"{name}.yaml")["module"] == module:
        return values
    return {**values, "code": digest([module])}
