"""Hydra composes `conf/sweep.yaml` under overrides; what it refuses is said in this program's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra import compose
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deepunlearn.config.known import names_of, nearest, no_such_option
from deepunlearn.config.references import unresolved
from deepunlearn.core.errors import ConfigError, unknown


def composed(overrides: list[str]) -> dict[str, Any]:
    """Plain values of `conf/sweep.yaml` under `overrides`. Raises ConfigError for unknown names."""
    with _explaining(overrides):
        config = compose("sweep", overrides=overrides)
        return dict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]


def unresolved_config(overrides: list[str]) -> DictConfig:
    """The same as Hydra has it: values may be references."""
    with _explaining(overrides):
        return compose("sweep", overrides=overrides)


@contextmanager
def _explaining(overrides: list[str]) -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException, ConfigCompositionException) as error:
        raise _reference(error, overrides) or _explained(error, overrides) from None


def _reference(error: Exception, overrides: list[str]) -> ConfigError | None:
    """What is wrong with the reference that `error` is about, if it is about one."""
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if not isinstance(cause, OmegaConfBaseException) or "Could not override" in str(error):
        return None
    merged = re.search(r"Error merging override (.+)", str(error))
    written = merged[1] if merged else _written(str(cause.full_key), overrides)
    if "${" not in written and not isinstance(cause, MissingMandatoryValue):
        return None
    key = re.search(r"Interpolation key '([^']+)' not found", str(cause))
    return unresolved(cause, written, nearest(key[1]) if key else ())


def _written(key: str, overrides: list[str]) -> str:
    """The last override that sets `key` or something in it."""
    plain = [one.lstrip("+") for one in overrides]
    given = [one for one in plain if (name := one.partition("=")[0]) == key or key.startswith((f"{name}.", f"{name}["))]
    return given[-1] if given else key


def _explained(error: Exception, overrides: list[str]) -> ConfigError:
    text = f"{error} {error.__cause__ or ''}"
    if missing := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, name = missing.groups()
        recipe = "give train=NAME, or add train: {...} to the dataset's YAML" if group == "train" else None
        return unknown(group, name, names_of(group), remedy=recipe)
    if key := re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct|full_key: (\S+)", text):
        return no_such_option(next(name for name in key.groups() if name), overrides)
    return ConfigError(
        "the configuration cannot be composed",
        given=text[:400],
        allowed="NAME=VALUE of options that --help of the command lists",
        remedy=f"check these settings: {' '.join(overrides)}",
    )
