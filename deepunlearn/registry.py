"""The one registry: which methods, architectures, datasets, forget sets, measures and attacks there are.

Each is a YAML `NAME.yaml`, beside it a file `NAME.py` or a package `NAME/` where it needs code. Ours lie in
`conf/KIND/`, those of installed packages beside the module that an entry point names, a user's in `plugins=DIR` under
`DIR/KIND/`.
Nothing of it is imported here, and torch never: planning and `tables` ask what there is.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import shipped
from deepunlearn.plugin_code import file_of

NAME = re.compile(r"[a-z][a-z0-9_]*")


class Kind(NamedTuple):
    """What can be registered. Its name is the folder in conf/ and in `plugins=DIR`, and the option (but measures=)."""

    name: str
    words: str  # in messages
    entry_points: str  # the group under which packages declare theirs
    code: bool = True  # whether NAME.yaml needs code beside it; where not, it may name code of ours
    functions: tuple[str, ...] = ()  # which its code holds, all of them
    base: str = ""  # or the class that the code's one class derives from,
    methods: tuple[str, ...] = ()  # and writes one of these for


KINDS = {
    kind.name: kind
    for kind in (
        Kind("method", "method", "deepunlearn.methods", base="Method", methods=("run",)),
        Kind("arch", "architecture", "deepunlearn.archs", code=False, functions=("build",)),
        Kind("dataset", "dataset", "deepunlearn.datasets", code=False, functions=("find", "read")),
        Kind(
            "forget",
            "kind of forget set",
            "deepunlearn.forget_sets",
            base="ForgetSet",
            methods=("choose", "split"),
        ),
        Kind("measure", "measure", "deepunlearn.measures", functions=("measure",)),
        Kind("attack", "attack", "deepunlearn.attacks", functions=("membership",)),
    )
}


SETTINGS = ("train", "search", "protocol", "launcher", "runtime")  # groups of conf/ that are values without code
SWEEPS = "sweeps"  # the folder of sweep files
HELD = (*KINDS, *SETTINGS, SWEEPS)  # what the folder of `plugins=` may hold


class Folders(NamedTuple):
    """Where a user's own lie: `plugins=DIR` has a folder for each kind, `extra_methods=DIR` is a folder of methods.

    That of `plugins=`, which Hydra calls `--config-dir`, may have folders of `SETTINGS` and `SWEEPS`, too.
    """

    plugins: str | None = None
    extra_methods: str | None = None


class Registered(NamedTuple):
    """A registered thing: its YAML and where its code is."""

    kind: str
    name: str
    yaml: Path
    module: str | None  # a module's name, or the path of a file; null: ours, or no code of its own
    origin: str  # for messages

    @property
    def built_in(self) -> bool:
        return self.origin == BUILT_IN


BUILT_IN = "of deepunlearn"


def registered(kind: str, folders: Folders | None = None) -> dict[str, Registered]:
    """All of a kind by name: ours, those of installed packages, those in the user's folders.

    Raises ConfigError for a folder without any, a name twice, a bad name, code without its YAML and the reverse.
    """
    of_kind = KINDS[kind]
    by_name: dict[str, Registered] = {}
    for one in _all(of_kind, folders or Folders()):
        if not NAME.fullmatch(one.name):
            raise ConfigError(
                f"the name of a {of_kind.words} cannot be used",
                given=f"{one.name!r} ({one.origin})",
                allowed="lower-case letters, digits and underscores, a letter first",
                remedy="rename its files",
            )
        if one.name in by_name:
            raise ConfigError(
                f"there are two of the same name: {of_kind.words} {one.name!r}",
                given=f"{by_name[one.name].origin} and {one.origin}",
                allowed=f"one {of_kind.words} of a name",
                remedy="rename yours, so that results of the two cannot be mistaken for each other",
            )
        by_name[one.name] = one
    return by_name


def get(kind: str, name: str, folders: Folders | None = None) -> Registered:
    """One of `registered`. Raises ConfigError, with the nearest names, where there is none."""
    by_name = registered(kind, folders)
    if name not in by_name:
        raise unknown(KINDS[kind].words, name, by_name)
    return by_name[name]


def check_code(one: Registered) -> None:
    """Raises ConfigError where the code of a plug-in lacks what its kind needs.

    The file is read and not run: planning imports no torch. So what is inherited or imported is taken to be right.
    """
    if one.module is None:
        return
    file, kind = file_of(one.module), KINDS[one.kind]
    try:
        body = ast.parse(file.read_bytes()).body
    except SyntaxError:
        return  # told with its place when it is loaded
    if lacking := _lacking_functions(body, kind) if kind.functions else _lacking_methods(body, kind):
        raise ConfigError(
            f"the code of {kind.words} {one.name!r} lacks {lacking}",
            given=str(file),
            allowed=f"functions {', '.join(kind.functions)}" if kind.functions else _class_of(kind),
            remedy="add it; docs/adding.md shows an example",
        )


# ---------------------------------------------------------------------------------------------------------- where from


def _all(kind: Kind, folders: Folders) -> Iterator[Registered]:
    for yaml in sorted((shipped("conf") / kind.name).glob("*.yaml")):
        yield Registered(kind.name, yaml.stem, yaml, None, BUILT_IN)
    yield from _of_packages(kind)
    if kind.name == "method" and folders.extra_methods is not None:
        root = Path(folders.extra_methods)
        _refuse_empty(root, "extra_methods=DIR", "methods")
        yield from _of_folder(kind, root)
    if folders.plugins is not None:
        root = Path(folders.plugins)
        check_plugins(root)
        yield from _of_folder(kind, root / kind.name)


def _of_packages(kind: Kind) -> Iterator[Registered]:
    declared = _declared(kind.entry_points, tuple((folder, _changed(folder)) for folder in sys.path))
    for entry in sorted(declared, key=lambda entry: entry.name):
        origin = f"of package {entry.dist.name if entry.dist else entry.value}"
        code = file_of(entry.value)
        folder = code.parent.parent if code.stem == "__init__" else code.parent
        yaml = next((one for one in (code.parent, folder) if (one / f"{entry.name}.yaml").is_file()), folder)
        yield Registered(
            kind.name, entry.name, _existing(kind, yaml / f"{entry.name}.yaml", origin), entry.value, origin
        )


@lru_cache(maxsize=4 * len(KINDS))
def _declared(group: str, searched: tuple[tuple[str, int | None], ...]) -> EntryPoints:
    """What the packages in these folders declare under `group`: read again only where one of the folders has changed.

    A command asks some ten times, and to look through all packages takes as long as to read several YAMLs.
    """
    return entry_points(group=group)


def _changed(folder: str) -> int | None:
    """When something was last put into `folder` or taken out, in ns; None where there is no such folder."""
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return None


def _of_folder(kind: Kind, root: Path) -> Iterator[Registered]:
    origin = f"in {root}"
    for yaml in sorted(root.glob("*.yaml")):
        yield Registered(kind.name, yaml.stem, yaml, _code_beside(kind, yaml), origin)
    packages = (init.parent for init in root.glob("*/__init__.py"))
    for code in sorted([*root.glob("*.py"), *packages]):
        if not code.name.startswith("_"):  # an __init__.py that an editor made, or what is left of a draft
            _existing(kind, code.with_suffix(".yaml"), origin, in_folder=True)


def _code_beside(kind: Kind, yaml: Path) -> str | None:
    """The path of the code of a YAML in a folder. Raises ConfigError where it has none and needs some."""
    file, package = yaml.with_suffix(".py"), yaml.with_suffix("") / "__init__.py"
    if file.is_file() or package.is_file():
        return str((file if file.is_file() else package).resolve())
    if not kind.code:
        return None
    raise ConfigError(
        f"the {kind.words} {yaml.stem!r} has no code",
        given=f"{file} does not exist",
        allowed=f"{yaml.stem}.py, or a package {yaml.stem}/, beside {yaml.name}",
        remedy="add it; docs/adding.md shows one",
    )


def _existing(kind: Kind, yaml: Path, origin: str, *, in_folder: bool = False) -> Path:
    if not yaml.is_file():
        raise ConfigError(
            f"the {kind.words} {yaml.stem!r} {origin} has no YAML",
            given=f"{yaml} does not exist",
            allowed="NAME.yaml beside NAME.py",
            remedy="add it; docs/adding.md shows one. What is no plug-in is moved elsewhere: code of one plug-in into "
            "its package NAME/, code that several share to where Python finds it"
            if in_folder
            else "add it; docs/adding.md shows one",
        )
    return yaml


def check_plugins(root: Path) -> None:
    """Raises ConfigError unless the folder of `plugins=` has folders of `HELD` only: others would never be read."""
    folders = [one.name for one in root.iterdir() if one.is_dir() and one.name[0] not in "._"] if root.is_dir() else []
    for name in sorted(folders):
        if name not in HELD:
            near = get_close_matches(name, HELD, n=1)
            raise ConfigError(
                f"a folder in {root} is not that of a kind",
                given=name,
                allowed=", ".join(HELD),
                remedy=f"rename it{f' to {near[0]}' if near else ''}, or move it elsewhere",
            )
    if not any(_holds(root / name) for name in folders):
        _refuse_empty(
            root, "plugins=DIR or --config-dir DIR", "plug-ins in folders named after their kind, e.g. method/,"
        )


def _refuse_empty(root: Path, option: str, what: str) -> None:
    if not root.is_dir():
        raise ConfigError(
            "the folder of plug-ins is not there",
            given=str(root.absolute()),
            allowed="a folder that is there",
            remedy=f"give {option} with the right folder",
        )
    if not _holds(root):
        raise ConfigError(
            "the folder of plug-ins holds none",
            given=str(root.absolute()),
            allowed=f"a folder with {what} NAME.py and NAME.yaml for each",
            remedy=f"give {option} with the right folder",
        )


def _holds(root: Path) -> bool:
    return any(root.glob("*.yaml")) or any(root.glob("*.py"))


# ---------------------------------------------------------------------------------------------------------------- code


def _lacking_functions(body: list[ast.stmt], kind: Kind) -> str:
    names = {name for statement in body for name in _bound(statement)}
    return " and ".join(name for name in kind.functions if not {name, "*"} & names)


def _lacking_methods(body: list[ast.stmt], kind: Kind) -> str:
    classes = [one for one in body if isinstance(one, ast.ClassDef)]
    derived = [one for one in classes if [ast.unparse(base).rpartition(".")[2] for base in one.bases] == [kind.base]]
    for one in derived:
        if not {name for statement in one.body for name in _bound(statement)} & set(kind.methods):
            return f"{' or '.join(kind.methods)} in its class {one.name}"
    return "" if classes else _class_of(kind)


def _class_of(kind: Kind) -> str:
    return f"a class that derives from {kind.base} and has {' or '.join(kind.methods)}"


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement of a module or class may give a meaning to; "*": any."""
    nodes = list(ast.walk(statement)) if isinstance(statement, ast.If | ast.Try | ast.With) else [statement]
    targets = [target for node in nodes for target in ast.walk(node) if isinstance(node, ast.Assign | ast.AnnAssign)]
    return {
        *(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)),
        *(one.id for one in targets if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)),
        *((one.asname or one.name) for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names),
    }
