"""Hydra's own flags on a command line: those that work here, and what the others are here.

Hydra composes configurations for us and runs nothing, so its flags on how to run are refused with our way of saying it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from deepunlearn.core.errors import ConfigError

LONG = {
    "-c": "--cfg",
    "-i": "--info",
    "-p": "--package",
    "-cd": "--config-dir",
    "-m": "--multirun",
    "-r": "--run",
    "-sc": "--shell-completion",
    "-cp": "--config-path",
    "-cn": "--config-name",
}
VALUED = {"--cfg": "job", "--package": "NAME, e.g. train", "--config-dir": "DIR"}  # with an example of their values
PLAIN = ("--info", "--resolve", "--multirun", "--run")  # a sweep is a grid, and runs, without being told
OF_CFG = ("--package", "--resolve")  # how --cfg prints
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # Hydra's words behind --info
ELSEWHERE = {  # -> the way that exists here
    "--config-path": "--config-dir DIR adds a folder of configurations to those of deepunlearn, which stay",
    "--config-name": "sweep=FILE.yaml reads a sweep from a file of your own",
    "--shell-completion": "deepunlearn completion --help says how a shell completes options",
    "--hydra-help": "python -m deepunlearn.sweep --help lists all options",
    "--experimental-rerun": "the command in results/runs/SWEEP/command.txt, run again, goes on where it was",
}
FOLDER = "plugins"  # the option that --config-dir is


class Asked(NamedTuple):
    """A command line without its flags: its NAME=VALUE words, and what it is to show in place of running."""

    words: list[str]
    config: bool = False  # --cfg job
    info: bool = False
    package: str | None = None  # the part of the configuration to show
    resolve: bool = False  # show values in place of references

    @property
    def shows(self) -> bool:
        return self.config or self.info


def read_flags(arguments: Iterable[str]) -> Asked:
    """`arguments` taken apart; `--config-dir DIR` becomes `plugins=DIR`. Raises ConfigError for other uses of flags."""
    words: list[str] = []
    given: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        flag = LONG.get(name, name)
        if flag in ELSEWHERE:
            raise _refused(flag, argument, "NAME=VALUE, " + ", ".join((*VALUED, *PLAIN)), ELSEWHERE[flag])
        if flag in VALUED:
            given[flag] = _valued(flag, value if equals else next(rest, ""))
        elif flag in PLAIN and not equals:
            given[flag] = ""
        elif flag in PLAIN:
            raise _refused(flag, argument, flag, f"write {flag} alone")
        else:
            words.append(argument)
    _check_together(given, words)
    if "--config-dir" in given:
        words = _with_folder(words, given["--config-dir"])
    return Asked(words, "--cfg" in given, "--info" in given, given.get("--package"), "--resolve" in given)


def _check_together(given: Mapping[str, str], words: list[str]) -> None:
    """Raises ConfigError for a word that Hydra has behind --info, and for flags of --cfg without it."""
    behind = [word for word in words if word in INFO]
    if "--info" in given and behind:
        remedy = "write --info alone: it says where configurations are looked for and lists the defaults"
        raise _refused("--info", f"--info {behind[0]}", "--info; --cfg job, which prints the configuration", remedy)
    for flag in OF_CFG:
        if flag in given and "--cfg" not in given:
            told = f"{flag} {given[flag]}".strip()
            raise _refused(flag, told, f"--cfg job {told}", f"add --cfg job, or leave {flag} out")


def _valued(flag: str, value: str) -> str:
    right = value and not value.startswith("-") and (flag == "--config-dir" or "=" not in value)
    if not right or (flag == "--cfg" and value != "job"):
        remedy = "python -m deepunlearn.sweep --info says what there is" if flag == "--cfg" else f"write {flag} VALUE"
        raise _refused(flag, f"{flag} {value}".strip(), f"{flag} {VALUED[flag]}", remedy)
    return value


def _with_folder(words: list[str], folder: str) -> list[str]:
    """Behind all others, so that it is known whatever the words say; one folder is one place to look."""
    if other := next((one for one in words if one.partition("=")[0] == FOLDER), None):
        raise _refused(
            "--config-dir",
            f"--config-dir {folder} and {other}",
            f"one folder: --config-dir DIR is the same as {FOLDER}=DIR",
            "put what both hold into one folder",
        )
    return [*words, f"{FOLDER}={folder}"]


def _refused(flag: str, given: str, allowed: str, remedy: str) -> ConfigError:
    return ConfigError(f"{flag} cannot be used like this", given=given, allowed=allowed, remedy=remedy)
