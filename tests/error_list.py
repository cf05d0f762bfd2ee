"""Every typed error of the package, read from its source; `python -m tests.error_list` writes docs/errors.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "deepunlearn"
PAGE = PACKAGE.parent / "docs" / "errors.md"
ANY = "…"  # what only a run can say: a name, a number, a path
SECTIONS = {  # classes that others are derived from -> what a reader calls these errors
    "ConfigError": "Settings, arguments and files of yours",
    "Unfit": "Settings, arguments and files of yours",
    "DataError": "Data",
    "StoreError": "Stored results",
    "Diverged": "Runs of a model or method",
    "NotApplicable": "Runs of a model or method",
    "DeepUnlearnError": "Runs of a model or method",
}
INTRO = """# Every message, and what to do

Each error says what is wrong, what was given, what is allowed and what to do. A command that ends
with one has exit code 2. The exit code is 1 if a model has diverged, if a method cannot be applied,
or if a search has no completed trial. Results that were stored before are not changed.

To find an error, search this page for the words that you see. `…` stands for what differs each
time: a name, a number, a path. An error with a traceback is a mistake of this program. Please
report it. `python -m tests.error_list` writes this page from the source.
"""


@dataclass(frozen=True)
class Typed:
    """One place in the source that makes a typed error; None: that part is not given."""

    module: str  # dotted, inside the package
    line: int
    kind: str  # the class, or "unknown" for core.errors.unknown
    problem: str
    given: str | None
    allowed: str | None
    remedy: str | None

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.kind}: {self.problem}"


@dataclass(frozen=True)
class Raised:
    """A `raise` of something else."""

    module: str
    function: str
    error: str


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name inside the package -> syntax tree."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def nodes(tree: ast.AST) -> list[ast.AST]:
    """All of a syntax tree, in the order of `ast.walk`: each is looked through several times."""
    return list(ast.walk(tree))


@cache
def sections() -> dict[str, str]:
    """Every typed class, whatever it is derived from in whatever order -> what a reader calls its errors."""
    bases = {
        node.name: _called(node.bases[0])
        for tree in modules().values()
        for node in nodes(tree)
        if isinstance(node, ast.ClassDef) and node.bases
    }
    found = dict(SECTIONS)
    for name in bases:
        line = [name]
        while line[-1] in bases and line[-1] not in SECTIONS and bases[line[-1]] not in line:
            line.append(bases[line[-1]])
        if line[-1] in SECTIONS:
            found[name] = SECTIONS[line[-1]]
    return found


@cache
def typed_errors() -> list[Typed]:
    trees = modules()
    shared = _assigned(trees["core.errors"].body)
    return [error for name, tree in trees.items() if name != "core.errors" for error in _of_module(name, tree, shared)]


def other_raises() -> set[Raised]:
    """What is raised by its class, is not one of ours and is not caught by name in its own file."""
    return {
        Raised(name, function.name, called)
        for name, tree in modules().items()
        for caught in [_caught(tree)]
        for function in nodes(tree)
        if isinstance(function, ast.FunctionDef)
        for node in nodes(function)
        if isinstance(node, ast.Raise) and node.exc is not None and not isinstance(node.exc, ast.Name)
        if (called := _called(node.exc))[:1].isupper() and called not in {*sections(), *caught}
    }


def _of_module(name: str, tree: ast.Module, shared: dict[str, list[ast.expr]]) -> Iterator[Typed]:
    constants = {**shared, **_assigned(tree.body)}
    for top in tree.body:
        if isinstance(top, ast.ClassDef) and top.name in SECTIONS:
            continue  # the class itself hands on what it is given
        known = {**constants, **_assigned(nodes(top))}
        for node in nodes(top):
            if isinstance(node, ast.Call) and (kind := _called(node)) in (*sections(), "unknown"):
                yield _typed(name, node, kind, known)


def _typed(module: str, call: ast.Call, kind: str, known: dict[str, list[ast.expr]]) -> Typed:
    texts = {keyword.arg: text(keyword.value, known) for keyword in call.keywords}
    problem = text(call.args[0], known)
    if kind != "unknown":
        return Typed(module, call.lineno, kind, problem, texts.get("given"), texts.get("allowed"), texts.get("remedy"))
    remedy = texts.get("remedy") or "take one of the names that are listed; the nearest is suggested"
    return Typed(module, call.lineno, kind, f"unknown {problem} '{ANY}'", ANY, "the names there are", remedy)


def text(node: ast.expr, known: dict[str, list[ast.expr]]) -> str:
    """A string expression as a reader sees it; alternatives are separated by a slash."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        named = text(node.value, known) if isinstance(node.value, ast.Name) else ANY
        return ANY if " / " in named else named
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text(node.left, known) + text(node.right, known)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return re.sub(r"{.*?}", ANY, text(node.func.value, known))
    if isinstance(node, ast.Name):
        known = {name: values for name, values in known.items() if name != node.id} | {"": known.get(node.id, [])}
    options = {
        ast.IfExp: lambda: [node.body, node.orelse],
        ast.BoolOp: lambda: node.values,
        ast.Name: lambda: known[""],
    }
    chosen = options.get(type(node), list)()
    return " / ".join(dict.fromkeys(text(one, known) for one in chosen)) or ANY


def _assigned(nodes: list[ast.stmt] | list[ast.AST]) -> dict[str, list[ast.expr]]:
    """Name -> what is assigned to it here."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]
            for name, one in pairs:
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(one)
    return found


def _caught(tree: ast.Module) -> set[str]:
    return {_called(node.type) for node in nodes(tree) if isinstance(node, ast.ExceptHandler) and node.type}


def _called(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "id", getattr(function, "attr", ""))


def page() -> str:
    """docs/errors.md."""
    lines = [INTRO]
    for section in dict.fromkeys(SECTIONS.values()):
        rows = {
            _row(error) for error in typed_errors() if sections().get(error.kind, SECTIONS["ConfigError"]) == section
        }
        lines += [f"## {section}", "| message | allowed | what to do |", "|---|---|---|", *sorted(rows), ""]
    return "\n".join(lines)


def _row(error: Typed) -> str:
    cells = (error.problem, error.allowed or "", error.remedy or "")
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
