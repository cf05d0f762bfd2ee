"""What libraries of named networks share: which names and arguments are refused, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from deepunlearn.core.errors import ConfigError

FROM_THE_NET = {
    "cache_dir",
    "checkpoint_path",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "weights",
    "weights_backbone",
}
FROM_THE_DATA = {"num_classes", "in_chans", "img_size", "image_size", "input_size"}


def check_model(library: str, model: str, names: Iterable[str], listed: str) -> None:
    """Raises ConfigError, with the nearest ones, unless `model` is one of `names`; listed: what prints them."""
    known = set(names)
    if model in known:
        return
    near = get_close_matches(model, known, n=5) or [name for name in sorted(known) if model in name][:5]
    raise ConfigError(
        f"{library} has no model {model!r}",
        given=f"arch.model={model}",
        allowed=f"one of the {len(known)} names of {listed}, without a tag behind a dot",
        remedy=f"did you mean {', '.join(near)}?"
        if near
        else f"choose one: python -c 'import {library}; print({listed})'",
    )


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raises ConfigError for arguments that would fetch weights, or that the data decide."""
    for name in sorted(FROM_THE_NET & set(arguments)):
        raise ConfigError(
            "networks are built without weights from the net",
            given=f"arch.args.{name}={arguments[name]}",
            allowed="arguments of the network itself",
            remedy="download the weights yourself and give arch.weights=FILE",
        )
    for name in sorted(FROM_THE_DATA & set(arguments)):
        raise ConfigError(
            f"the argument {name} is decided by the data",
            given=f"arch.args.{name}={arguments[name]}",
            allowed="arguments of the network itself",
            remedy="leave it out; dataset.image_size= sets the size of the images",
        )
