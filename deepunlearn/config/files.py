"""YAML files: those of `conf/` and `sweeps/` with the line each opens with, and reading any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepunlearn.config.references import unresolved
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped

AXES = ("dataset", "arch", "method", "forget")
GROUPS = (*AXES, "search", "protocol", "train", "launcher", "runtime")


def options(group: str) -> dict[str, str]:
    """The options of a group with the one line that each file begins with."""
    files = sorted((shipped("conf") / group).glob("*.yaml"))
    return {file.stem: first_line(file) for file in files}


def sweep_files() -> dict[str, str]:
    files = sorted(shipped("sweeps").glob("*.yaml"))
    return {file.stem: first_line(file) for file in files}


def first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def read_yaml(path: Path, resolve: bool = True) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    except OmegaConfBaseException as error:
        raise unresolved(error, str(path)) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read {path}",
            given=str(error)[:300],
            allowed="a YAML file that you may read",
            remedy="correct the file, or give the path of another",
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise ConfigError(
                f"{path} is not YAML",
                given=str(error)[:300],
                allowed="a YAML file; those under conf/ and sweeps/ are examples",
                remedy="correct the line that is named",
            ) from error
        raise
