"""Code of plug-ins: where it is, its digest, and what a module of it holds. Nothing is imported here before `load`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import STREAMS


def digest(modules: Iterable[str]) -> str | None:
    """16 hex digits of the code of these modules, None if there are none. Raises ConfigError if one is gone.

    A package counts with all its files. How random states are seeded counts too: nobody has said that this code does
    not draw from them.
    """
    files = [file for module in modules for file in _files(file_of(module))]
    if not files:
        return None
    contents = [f"{STREAMS} random streams".encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def file_of(module: str) -> Path:
    """The file of a module that is named or is a path; only the packages around it are imported. Raises ConfigError."""
    if module.endswith(".py"):
        path, reason = Path(module), "the file does not exist"
    else:
        path, reason = _source_of(module)
    if not path.is_file():
        raise ConfigError(
            "the code of a plug-in cannot be found",
            given=f"{module}: {reason}",
            allowed="a file NAME.py, a package NAME/, or an entry point such as mine = 'mypackage.mine'",
            remedy="correct the folder, or the package that declares it",
        )
    return path


def load(module: str) -> ModuleType:
    """Import a module by its name or by its file's path.

    Ours fail with their own traceback; what goes wrong in another's code is told as the error of that code. Raises
    ConfigError where there is no such module.
    """
    file_of(module)
    if module.startswith("deepunlearn."):
        return importlib.import_module(module)
    return _loaded(module)


Wanted = TypeVar("Wanted")


def only_class(module: ModuleType, base: type[Wanted], what: str) -> type[Wanted]:
    """The one subclass of `base` that a module defines; `what` names the thing. Raises ConfigError for none or more."""
    own = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    classes = [item for item in own if issubclass(item, base)]
    if len(classes) != 1:
        raise ConfigError(
            f"the file of {what} must hold exactly one {base.__name__}",
            given=", ".join(item.__name__ for item in classes or own) or "none",
            allowed=f"one subclass of {base.__name__}",
            remedy=f"derive its class from {base.__module__}.{base.__name__}; move others to files of their own",
        )
    return classes[0]


def functions(module: ModuleType, names: Iterable[str], what: str) -> Mapping[str, Callable[..., Any]]:
    """These functions of a module; `what` names the thing. Raises ConfigError where one is missing."""
    named = {name: getattr(module, name, None) for name in names}
    missing = [name for name, function in named.items() if not callable(function)]
    if missing:
        raise ConfigError(
            f"the file of {what} lacks {' and '.join(missing)}",
            given=str(module.__file__),
            allowed=f"functions {', '.join(named)}",
            remedy="add them; docs/adding.md shows an example",
        )
    return {name: function for name, function in named.items() if function is not None}


def _source_of(module: str) -> tuple[Path, str]:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError as error:
        return Path(), str(error)
    return Path(spec.origin if spec and spec.origin else ""), "there is no such module"


def _files(file: Path) -> list[Path]:
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


@cache
def _loaded(module: str) -> ModuleType:
    try:
        return _from_file(Path(module)) if module.endswith(".py") else importlib.import_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((one for one in reversed(frames) if one.filename == str(file_of(module))), frames[-1])
        raise ConfigError(
            "the code of a plug-in cannot be imported",
            given=f"{module}: {type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})",
            allowed="a module that imports on its own",
            remedy="correct the file",
        ) from error


def _from_file(path: Path) -> ModuleType:
    """The module of a file or, of an __init__.py, the package. Its name tells files of the same name apart."""
    name = f"deepunlearn_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses and relative imports look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
