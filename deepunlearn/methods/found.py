"""Which methods there are: ours, those of installed packages, and those in a folder of the user's own."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import STREAMS
from deepunlearn.core.paths import shipped

ENTRY_POINTS = "deepunlearn.methods"
NAME = re.compile(r"[a-z][a-z0-9_]*")


class Found(NamedTuple):
    """A method's YAML and where its class is."""

    name: str
    yaml: Path
    module: str | None  # a module's name, or the path of a file; null: ours
    whose: str  # for messages


def find_methods(folder: str | None = None) -> dict[str, Found]:
    """All methods by name: ours, those under the entry-point group, those in `folder` (NAME.py beside NAME.yaml).

    Raises ConfigError for a folder without methods, a name twice, a bad name, and an entry point without its files.
    """
    found: dict[str, Found] = {}
    for one in (*_ours(), *_of_packages(), *(_of_folder(folder) if folder is not None else ())):
        if not NAME.fullmatch(one.name):
            raise ConfigError(
                "a method's name cannot be used",
                given=f"{one.name!r} ({one.whose})",
                allowed="lower-case letters, digits and underscores, a letter first",
                remedy="rename its files",
            )
        if one.name in found:
            raise ConfigError(
                f"two methods are called {one.name!r}",
                given=f"{found[one.name].whose} and {one.whose}",
                allowed="one method of a name",
                remedy="rename yours, so that results of the two cannot be mistaken for each other",
            )
        found[one.name] = one
    return found


def digest(modules: Iterable[str]) -> str | None:
    """16 hex digits of the files of these modules, None if there are none. Raises ConfigError if one is gone.

    How random states are seeded counts too: nobody has said that these methods do not draw from them.
    """
    files = [file_of(module) for module in modules]
    if not files:
        return None
    contents = [f"{STREAMS} random streams".encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def file_of(module: str) -> Path:
    """The file of a module that is named or is a path; only the packages around it are imported. Raises ConfigError."""
    if module.endswith(".py"):
        path, reason = Path(module), "the file does not exist"
    else:
        path, reason = _origin(module)
    if not path.is_file():
        raise ConfigError(
            "the code of a method cannot be found",
            given=f"{module}: {reason}",
            allowed="a file NAME.py, or an entry point such as mine = 'mypackage.mine'",
            remedy="correct the folder, or the package that declares it",
        )
    return path


def _origin(module: str) -> tuple[Path, str]:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError as error:
        return Path(), str(error)
    return Path(spec.origin if spec and spec.origin else ""), "there is no such module"


def _ours() -> Iterator[Found]:
    for yaml in sorted((shipped("conf") / "method").glob("*.yaml")):
        yield Found(yaml.stem, yaml, None, "of deepunlearn")


def _of_packages() -> Iterator[Found]:
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        whose = f"of package {entry.dist.name if entry.dist else entry.value}"
        yield Found(entry.name, _beside(file_of(entry.value).parent / f"{entry.name}.yaml", whose), entry.value, whose)


def _of_folder(folder: str) -> Iterator[Found]:
    root = Path(folder)
    files = sorted(root.glob("*.yaml")) if root.is_dir() else []
    if not files:
        raise ConfigError(
            "the folder of extra methods holds none",
            given=folder,
            allowed="a folder with NAME.py and NAME.yaml for each method",
            remedy="give extra_methods=DIR with the right folder",
        )
    for yaml in files:
        yield Found(yaml.stem, yaml, str(yaml.with_suffix(".py").resolve()), f"in {folder}")
    for code in sorted(root.glob("*.py")):
        _beside(code.with_suffix(".yaml"), f"in {folder}")


def _beside(yaml: Path, whose: str) -> Path:
    if not yaml.is_file():
        raise ConfigError(
            f"the method {yaml.stem!r} {whose} has no YAML",
            given=f"{yaml} does not exist",
            allowed="NAME.yaml beside NAME.py",
            remedy="add it; docs/adding.md shows one",
        )
    return yaml
