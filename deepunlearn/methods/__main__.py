"""`python -m deepunlearn.methods`: the catalogue of methods."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deepunlearn.config import method_configs
from deepunlearn.core.errors import unknown
from deepunlearn.core.params import ParamSpec
from deepunlearn.doors import run_door, wants_help


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(
            "usage: python -m deepunlearn.methods [NAME ...]\n\nLists the methods: source, data read, ranges, defaults."
        )
        return 0
    methods = method_configs()
    for name in arguments:
        if name not in methods:
            raise unknown("method", name, methods)
    for name in arguments or methods:
        method = methods[name]
        print(f"{name}: {method.title} ({method.paper}); reads {', '.join(method.reads)}; version {method.version}")
        for param, spec in method.space.items():
            print(f"  {param:<14} default {spec.default!s:<8} {shown_range(spec):<28} {spec.help}")
    return 0


def shown_range(spec: ParamSpec) -> str:
    """The range of search.space=paper in words."""
    if not spec.searched:
        return "not searched"
    if spec.choices is not None:
        return "{" + ", ".join(str(choice) for choice in spec.choices) + "}"
    return f"[{spec.low:g}, {spec.high}]" + (" log" if spec.log else "")


if __name__ == "__main__":
    sys.exit(run_door(main))
