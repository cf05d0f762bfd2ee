"""Hydra's own flags: those that work, and what the others are told."""

from __future__ import annotations

import pytest

from deepunlearn.config.hydra_flags import ELSEWHERE, Asked, read_flags
from deepunlearn.core.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["method=ft", "--cfg", "job"], Asked(["method=ft"], config=True)),
        (["-c", "job", "-p", "train", "a=1"], Asked(["a=1"], config=True, package="train")),
        (["--cfg=job", "--package=train.lr", "--resolve"], Asked([], config=True, package="train.lr", resolve=True)),
        (["--info", "method=ft"], Asked(["method=ft"], info=True)),
        (["-i", "method=ft"], Asked(["method=ft"], info=True)),
        (["-m", "method=ft,ct", "--run"], Asked(["method=ft,ct"])),
        (["--config-dir", "own", "search=mine"], Asked(["search=mine", "plugins=own"])),
        (["search=mine", "-cd", "own=1"], Asked(["search=mine", "plugins=own=1"])),
        (["--config-dir=own"], Asked(["plugins=own"])),
        (["~search", "+new=1", "--watch"], Asked(["~search", "+new=1", "--watch"])),
    ],
)
def test_flags_are_taken_off_the_words(given: list[str], asked: Asked) -> None:
    assert read_flags(given) == asked
    assert asked.shows == (asked.config or asked.info)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--cfg", "hydra"], ["--cfg hydra", "--cfg job"]),
        (["--cfg"], ["--cfg job"]),
        (["--cfg", "method=ft"], ["--cfg method=ft"]),
        (["--package", "--info"], ["--package NAME"]),
        (["method=ft", "--resolve"], ["--cfg job --resolve"]),
        (["--info", "-p", "train"], ["--cfg job --package train"]),
        (["--info", "defaults"], ["--info defaults", "--cfg job", "write --info alone"]),
        (["--info=all"], ["--info=all", "write --info alone"]),
        (["-cd"], ["--config-dir DIR"]),
        (["-cd", "a", "plugins=b"], ["--config-dir a and plugins=b", "into one folder"]),
        (["-cn", "mine"], ["--config-name", "sweep=FILE.yaml"]),
        (["--config-path=conf"], ["--config-path=conf", "--config-dir DIR"]),
        (["-sc", "install=bash"], ["deepunlearn completion"]),
        *(([flag], [flag, way]) for flag, way in ELSEWHERE.items()),
    ],
)
def test_other_uses_are_refused_with_the_way_that_there_is(given: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_flags(given)
    assert all(one in str(caught.value) for one in named) and "remedy" in str(caught.value)
