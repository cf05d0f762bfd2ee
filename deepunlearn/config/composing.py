"""Hydra composes `conf/sweep.yaml` under overrides; what it refuses is said in this program's words."""

from __future__ import annotations

import re
from typing import Any

from hydra import compose
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepunlearn.config.files import AXES, options
from deepunlearn.core.errors import ConfigError, unknown


def composed(overrides: list[str]) -> dict[str, Any]:
    """Plain values of `conf/sweep.yaml` under `overrides`. Raises ConfigError for unknown names."""
    try:
        config = compose("sweep", overrides=overrides)
        return dict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException, ConfigCompositionException) as error:
        raise _explained(error, overrides) from None


def _explained(error: Exception, overrides: list[str]) -> ConfigError:
    text = f"{error} {error.__cause__ or ''}"
    if missing := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, name = missing.groups()
        return unknown(group, name, options(group))
    if key := re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct|full_key: (\S+)", text):
        name = next(part for part in key.groups() if part)
        return unknown("option", name, _known_keys(name, [one for one in overrides if one.split("=")[0] in AXES]))
    if "mismatched input" in text or "no viable alternative" in text or "token recognition" in text:
        return ConfigError(
            "an option cannot be read",
            given=text.splitlines()[0][:200],
            allowed="NAME=VALUE",
            remedy="quote the value, e.g. 'dataset.root=\"my folder\"'",
        )
    return ConfigError(
        "the configuration cannot be composed", given=text[:400], remedy=f"check these settings: {' '.join(overrides)}"
    )


def _known_keys(name: str, chosen: list[str]) -> list[str]:
    """The options beside `name`, with these options of the axes: of its group, or the top-level ones."""
    config: Any = compose("sweep", overrides=chosen)
    prefix = ""
    for part in name.split(".")[:-1]:
        if not isinstance(config, DictConfig) or part not in config or not isinstance(config[part], DictConfig):
            break
        config, prefix = config[part], f"{prefix}{part}."
    return [f"{prefix}{key}" for key in config]
