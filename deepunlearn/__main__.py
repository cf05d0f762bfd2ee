"""`deepunlearn NAME ...`: one command that does what each `python -m deepunlearn.NAME ...` does."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from deepunlearn import __version__
from deepunlearn.cli import run_main, table, wants_help
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.registry import KINDS

VERSION = ("-V", "--version")


class Subcommand(NamedTuple):
    does: str
    example: str


SUBCOMMANDS = {
    "sweep": Subcommand("train, search, unlearn and score; what is stored is skipped", "method=ft,msg dataset=digits"),
    "status": Subcommand("how far each sweep is, what runs and what failed", "--watch"),
    "tables": Subcommand("ranking, scores and reliability of what is stored", "results=results"),
    "report": Subcommand("figures, and one page with all of it", "format=pdf"),
    "measure": Subcommand("further measures of models that are stored", "'measures=[relearn,aus]' plan=true"),
    "lira": Subcommand("U-LiRA: an attack on each sample", "sweep=ulira_small plan=true"),
    "forget": Subcommand(
        "a deletion request on a model that you have",
        "model=model.safetensors arch=resnet18 data=photos ids=requests.csv out=done",
    ),
    "share": Subcommand("results in one file, and from such a file into a store", "export out=results.zip plan=true"),
    "methods": Subcommand("the methods, what they read, their ranges and defaults", "ft msg"),
    "list": Subcommand("what there is: architectures, datasets, forget sets, measures, ...", "dataset"),
    "check-gpu": Subcommand("whether this device computes what the CPU does, and how fast it is", "--minutes 8"),
    "completion": Subcommand("lets your shell complete this command", "bash"),
}


def main(arguments: Sequence[str]) -> int:
    """Hand over to a subcommand; returns its exit code. Raises ConfigError where there is none of that name."""
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or wants_help(arguments[:1]):
        print(usage())
        return 0
    name, *others = arguments
    if name in VERSION:
        print(f"deepunlearn {__version__}")
        return 0
    if name not in SUBCOMMANDS:
        raise _unknown(name, others)
    return main_of(name)(others)


def main_of(name: str) -> Callable[[Sequence[str]], int]:
    """The `main` of a subcommand. Its module is imported only now: some take seconds."""
    place = f"deepunlearn.{name.replace('-', '_')}"
    package = importlib.import_module(place)
    module = importlib.import_module(f"{place}.__main__") if hasattr(package, "__path__") else package
    found: Callable[[Sequence[str]], int] = module.main
    return found


def usage() -> str:
    examples = {f"deepunlearn {name}": one.example for name, one in SUBCOMMANDS.items()}
    return "\n\n".join(
        [
            "usage: deepunlearn NAME [OPTION=VALUE ...]",
            "A benchmark sweep harness for machine unlearning in image classification. Begin with\n"
            "  deepunlearn sweep sweep=demo plan=true   what a small sweep would run and cost\n"
            "  deepunlearn sweep sweep=demo             run it; stop it whenever you like, the same command goes on\n"
            "  deepunlearn status                       how far it is, in another window\n"
            "  deepunlearn tables                       its scores",
            table("commands", {name: one.does for name, one in SUBCOMMANDS.items()}),
            table("an example of each", examples),
            "deepunlearn NAME --help says all of a command; python -m deepunlearn.NAME is the same command.\n"
            "deepunlearn --version prints the version. deepunlearn completion --help: names that complete themselves.",
        ]
    )


def _unknown(name: str, others: Sequence[str]) -> ConfigError:
    """The refusal of what is no subcommand, with what it may have meant."""
    kind = name.removesuffix("s")
    if kind in KINDS:
        return unknown("command", name, SUBCOMMANDS, remedy=f"run deepunlearn list {kind}")
    if "=" in name or name.startswith(("-", "+", "~")):
        meant = shlex.join(["deepunlearn", "sweep", name, *others])
        return unknown("command", name, SUBCOMMANDS, remedy=f"put the name of a command first, e.g. {meant}")
    return unknown("command", name, SUBCOMMANDS)


def script() -> int:
    """What the installed script runs. Modules in the current folder can be named, as `python -m` has it."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from deepunlearn.completion import answer  # noqa: PLC0415

        answer({name: one.does for name, one in SUBCOMMANDS.items()})
    here = str(Path.cwd())
    if here not in sys.path and not sys.flags.safe_path:
        sys.path.insert(0, here)
    return run_main(main)


if __name__ == "__main__":
    sys.exit(script())
