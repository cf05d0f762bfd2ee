"""The layers of the design, in one table: a module imports only from rows above its own."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "deepunlearn"

LAYERS = [  # each row may import from itself only within one package, and from every row above
    ["core"],
    ["plugin_code"],
    ["registry"],
    ["core.forget", "core.schema", "core.slurm_options"],
    ["forget", "trackers"],
    ["metrics"],
    ["ulira"],
    ["kernels"],
    ["runtime"],
    ["data"],
    ["archs"],
    ["ops"],
    ["training"],
    ["instruments"],
    ["attacks"],
    ["learning"],
    ["cells"],
    ["methods"],
    ["composition", "running"],
    ["together"],
    ["measures"],
    ["stages"],
    ["ulira.shadow_models"],
    ["testing"],
    ["search"],
    ["analysis"],
    ["config"],
    ["given_model"],
    ["given_logits"],
    ["library"],
    ["judgement"],
    ["launch"],
    ["ulira.attack_stage", "panels"],
    ["cli"],
    ["deletion"],
    ["list", "share", "forget.__main__", "completion"],
    ["sweep", "status", "tables", "report", "methods.__main__"],
    ["ulira.command", "measure"],
    ["lira", "check_gpu"],
    ["__main__"],
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
NO_TORCH = (
    "core",
    "forget",
    "metrics",
    "analysis",
    "cells",
    "config",
    "cli",
    "data.splits",
    "data.decoded",
    "data.copies",
    "search.slots",
    "launch.checks",
    "launch.plan",
    "launch.cells",
    "launch.task",
    "launch.states",
    "launch.datasets",
    "launch.estimate",
    "launch.load",
    "launch.speed_file",
    "launch.stored",
    "launch.summary",
    "launch.tracking",
    "status",
    "tables",
    "report",
    "lira",
    "ulira.attack",
    "ulira.scores",
    "ulira.attack_stage",
    "ulira.command",
    "ulira.iam",
    "ulira.left_out",
    "ulira.memorisation",
    "ulira.rmia",
    "ulira.ruli",
    "ulira.verdicts",
    "methods.__main__",
    "__main__",
    "completion",
    "plugin_code",
    "registry",
    "list",
    "share",
)
METHOD_MAY_NOT = ("deepunlearn.core.store", "deepunlearn.stages", "hydra", "torch.optim", "deepunlearn.search")


@cache
def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file."""
    names = {}
    for path in ROOT.rglob("*.py"):
        levels = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(levels[:-1] if levels[-1] == "__init__" else levels)] = path
    return names


@cache
def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def unit_of(name: str) -> str | None:
    """The row's entry that a module belongs to: its longest listed prefix; the package itself has none."""
    levels = name.split(".")
    prefixes = (".".join(levels[:length]) for length in range(len(levels), 0, -1))
    return next((prefix for prefix in prefixes if prefix in RANK), None)


def rank_of(name: str) -> int | None:
    unit = unit_of(name)
    return None if unit is None else RANK[unit]


@pytest.mark.parametrize("name", sorted(name for name in modules() if name))
def test_imports_point_upwards(name: str) -> None:
    own = rank_of(name)
    assert own is not None, f"{name} has no row in the table of layers"
    for imported in imports(modules()[name]):
        inside = imported.removeprefix("deepunlearn.")
        if inside != imported and (rank := rank_of(inside)) is not None:
            same_package = rank == own and inside.split(".")[0] == name.split(".", maxsplit=1)[0]
            assert rank < own or same_package, f"{name} may not import {imported}"


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.startswith(NO_TORCH)))
def test_planning_and_analysis_import_no_torch(name: str) -> None:
    heavy = {
        imported for imported in imports(modules()[name]) if imported.split(".")[0] in ("torch", "torchvision", "timm")
    }
    assert not heavy


METHOD_FILES = sorted(
    name for name in modules() if name.startswith("methods.") and name not in {"methods.base", "methods.__main__"}
)


@pytest.mark.parametrize("name", METHOD_FILES)
def test_a_method_imports_neither_another_method_nor_the_machinery(name: str) -> None:
    for imported in imports(modules()[name]):
        assert not imported.startswith(METHOD_MAY_NOT)
        assert (
            not imported.startswith("deepunlearn.methods")
            or imported.startswith("deepunlearn.methods.base")
            or imported == "deepunlearn.methods"
        )


def test_only_the_runtime_knows_gpus_by_name() -> None:
    naming = {name for name, path in modules().items() if "cuda" in path.read_text(encoding="utf-8").lower()}
    about_them = {name for name in naming if name.startswith("check_gpu")}
    known = {"runtime", "core.schema", "core.infrastructure", "completion"}
    assert naming - about_them <= known, "schema, completion: the option's name; rule on errors: their messages"


def test_only_ops_take_optimisers_from_torch() -> None:
    users = {
        name
        for name, path in modules().items()
        if "torch.optim." in path.read_text(encoding="utf-8")
        and any(word in path.read_text(encoding="utf-8") for word in ("optim.SGD(", "optim.Adam("))
    }
    assert users == {"ops.optim", "instruments.plain_loop"}, "the loop that ours is held against is torch's own"
