"""Architectures as configurations: their names, and what tells two of one name apart."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from deepunlearn.config.files import options, read_yaml
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import is_readable, shipped
from deepunlearn.plugin_code import digest

NEEDED = "{model}"  # in the title of an architecture that is many


def is_many(name: str) -> bool:
    """Whether an architecture that ships is none until `arch.model` says which."""
    return NEEDED in str(_shipped(name).get("title"))


def identified(values: dict[str, Any]) -> dict[str, Any]:
    """The composed `values` with a name of its own, and with digests of what the name does not say.

    Raises ConfigError where a model is to be named and is not, and where a file is not there.
    """
    if NEEDED in values["title"] and not values.get("model"):
        raise _no_model(values["name"])
    args = {name: _typed(value) for name, value in sorted((values.get("args") or {}).items())}
    parts = {name: _names(value) for name, value in sorted((values.get("parts") or {}).items())}
    made = {**values, "args": args, "parts": parts, **_code(values), **_weights(values)}
    return {**made, "name": _name(made, values["module"]), "title": _title(made)}


def _code(values: dict[str, Any]) -> dict[str, Any]:
    """What identifies a module that is not ours (a digest) or not ours of this name; its blocks are yet to be counted.

    Edits of ours are told by `version`.
    """
    name, module = values["name"], values["module"]
    own = _shipped(name)
    built_in = module.startswith("deepunlearn.")
    if module == own.get("module"):
        return {} if built_in else {"code": digest([module])}
    return {"code": module if built_in else digest([module]), "blocks": None if own else values.get("blocks")}


def _shipped(name: str) -> dict[str, Any]:
    """The YAML that ships under this name; empty where none does."""
    return dict(read_yaml(shipped("conf") / "arch" / f"{name}.yaml", resolve=False)) if name in options("arch") else {}


def _weights(values: dict[str, Any]) -> dict[str, Any]:
    """The digest of the file of weights, 16 hex digits."""
    if not values.get("weights"):
        return {"weights": None}
    file = Path(values["weights"]).expanduser()
    if not is_readable(file, "arch.weights"):
        raise ConfigError(
            "there is no such file of weights",
            given=f"arch.weights={file}",
            allowed="a safetensors file, or one that torch.save wrote of a state dict",
            remedy="download or save the weights yourself, and give arch.weights=FILE; nothing is fetched from the net",
        )
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    return {"weights": str(file.resolve()), "weights_digest": sha256}


def _name(values: dict[str, Any], module: str) -> str:
    """`timm-vit_tiny_patch16_224-drop_rate0.1`: tells networks apart in folders and tables."""
    given = values.get("model"), *(f"{name}{value}" for name, value in values["args"].items())
    other = module if "code" in values and values["name"] in options("arch") else None
    start = f"weights{values['weights_digest'][:8]}" if values["weights"] else None
    words = (values["name"], *given, other, start)
    return "-".join(re.sub(r"[^\w.+]+", "_", str(word)) for word in words if word)


def _title(values: dict[str, Any]) -> str:
    title, rest = values["title"], []
    for name, value in {"model": values.get("model"), **values["args"]}.items():
        if f"{{{name}}}" in title:
            title = title.replace(f"{{{name}}}", str(value))
        elif value is not None:
            rest.append(f"{name}={value}")
    start = [f"from {Path(values['weights']).name}"] if values["weights"] else []
    return f"{title} ({', '.join(rest + start)})" if rest + start else title


def _typed(value: Any) -> Any:
    """0.0 and 0 are one argument: a whole number is written as one."""
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _names(value: Any) -> Any:
    """Submodules of a Sequential are called 0, 1, ..., which YAML reads as numbers."""
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def _no_model(name: str) -> ConfigError:
    return ConfigError(
        f"arch={name} is many networks, and none is named",
        given="no arch.model",
        allowed=f"the name of an image classifier of {name}",
        remedy="give e.g. arch.model=resnet50",
    )
