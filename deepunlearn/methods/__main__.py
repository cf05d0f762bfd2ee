"""`python -m deepunlearn.methods`: the catalogue of methods."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from deepunlearn.cli import folders_of, run_main, wants_help
from deepunlearn.config import method_configs
from deepunlearn.core.errors import unknown
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import ParamSpec
from deepunlearn.core.validation import refuse_repeats
from deepunlearn.list import check

FLAGS = ("--markdown", "--check")
USAGE = """usage: python -m deepunlearn.methods [NAME ...] [plugins=DIR] [extra_methods=DIR]
                                     [--markdown | --check]

Lists the methods: where they come from, what data they read, their hyper-parameters with roles, defaults and search
ranges (ours: those of search.space=ours where they differ). --markdown prints the table that stands in docs/methods.md.
--check runs the contract tests on the methods named, or on all (needs pytest); extra_methods=DIR holds methods of
your own, plugins=DIR a folder method/ with such."""


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(USAGE)
        return 0
    refuse_repeats(arguments)
    arguments, folders = folders_of(arguments)
    flags = [argument for argument in arguments if argument.startswith("-")]
    names = [argument for argument in arguments if not argument.startswith("-")]
    methods = method_configs(folders)
    for flag in flags:
        if flag not in FLAGS:
            raise unknown("option", flag, FLAGS)
    for name in names:
        if name not in methods:
            raise unknown("method", name, methods)
    chosen = [methods[name] for name in names or methods]
    if "--check" in flags:
        return check("method", chosen)
    print(markdown(chosen) if "--markdown" in flags else "\n".join(plain(method) for method in chosen))
    return 0


def plain(method: MethodConfig) -> str:
    """A method in a few lines."""
    head = f"{method.name}: {method.title} ({method.paper}); reads {', '.join(method.reads)}; version {method.version}"
    rows = [
        f"  {name:<22} {spec.role or '':<10} default {spec.default!s:<8} {shown_range(spec):<30} {spec.help}"
        for name, spec in method.space.items()
    ]
    return "\n".join([head, *rows])


def markdown(methods: Iterable[MethodConfig]) -> str:
    """All methods as a Markdown table, a line per hyper-parameter."""
    names = ("method", "source", "reads", "hyper-parameter", "role", "default", "searched in")
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for method in methods:
        head = f"`{method.name}` {method.title} | {method.paper} | {', '.join(method.reads)}"
        for name, spec in method.space.items():
            told = f"`{name}`: {spec.help} | {spec.role or ''} | {spec.default} | {shown_range(spec)}"
            lines.append(f"| {head} | {told} |")
            head = "| |"
    return "\n".join(lines)


def shown_range(spec: ParamSpec) -> str:
    """The search ranges in words."""
    if not spec.searched:
        return "not searched"
    if spec.choices is not None:
        return "{" + ", ".join(str(choice) for choice in spec.choices) + "}"
    if spec.between is not None:
        return f"[{spec.between[0]}, {spec.between[1]}]"
    text = f"[{spec.low:g}, {spec.high}]" + (" log" if spec.log else "")
    if spec.ours is None:
        return text
    low, high = spec.ours.get("low", spec.low), spec.ours.get("high", spec.high)
    return f"{text}; ours [{low:g}, {high:g}]" + (" log" if spec.ours.get("log", spec.log) else "")


if __name__ == "__main__":
    sys.exit(run_main(main))
