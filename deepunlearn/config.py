"""From a command line to a validated sweep: Hydra composes each group option once, we merge and validate."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.params import MASK_THRESHOLD
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import (
    FORGETS,
    LAUNCHERS,
    CellConfig,
    Frozen,
    HalvesForget,
    LocalLauncher,
    MaskConfig,
    MethodConfig,
    SlurmLauncher,
    SweepConfig,
    validate,
)
from deepunlearn.methods.found import Found, digest, find_methods

AXES = ("dataset", "arch", "method")
GROUPS = (*AXES, "search", "protocol", "forget", "train", "launcher", "runtime")
STEP = re.compile(r"chain\.\d+\.")  # chain.0.lr=0.01: a hyper-parameter of a chain's step
MASK_SPEC = {
    "type": "float",
    "default": 0.5,
    "low": 0.0,
    "high": 1.0,
    "gt": 0,
    "le": 1,
    "help": "fraction of all weights that may move, by the gradient on the forget set",
}
FLAGS = ("plan", "confirm", "retry_failed", "wait")


class Flags(Frozen):
    """What this one command is to do, as opposed to what is computed."""

    plan: bool
    confirm: bool
    retry_failed: bool
    wait: bool


class SweepFile(Frozen):
    """`sweeps/<name>.yaml`: a grid. Its header comment says cost, expected outcome and the command."""

    cells: tuple[dict[str, str], ...] = ()
    methods: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


class Command(NamedTuple):
    sweep: SweepConfig
    flags: Flags
    name: str


def read_command(arguments: Sequence[str]) -> Command:
    """Everything that `python -m deepunlearn.sweep ARGUMENTS` says, validated. Raises ConfigError."""
    given = [_parsed(argument) for argument in arguments]
    file, name = _sweep_file([value for key, value in given if key == "sweep"])
    axes = {axis: _listed(value) for key, value in given if (axis := key) in AXES}
    overrides = [*file.overrides, *(f"{key}={value}" for key, value in given if key not in (*AXES, "sweep"))]
    for override in file.overrides:
        _refuse_axis(override)
    found = find_methods(_extra_methods(overrides))
    with initialize_config_dir(version_base="1.3", config_dir=str(shipped("conf").absolute())):
        sweep, flags = _build(_cells(file, axes), axes.get("method") or list(file.methods), overrides, found)
    return Command(sweep, flags, name)


def options(group: str) -> dict[str, str]:
    """The options of a group with the one line that each file begins with."""
    files = sorted((shipped("conf") / group).glob("*.yaml"))
    return {file.stem: _first_line(file) for file in files}


def method_configs(folder: str | None = None) -> dict[str, MethodConfig]:
    """All methods there are, by name, with those in `folder`; chains are made of them. Raises ConfigError."""
    found = find_methods(folder)
    values = {name: _read_method(one) for name, one in found.items()}
    return {
        name: validate(MethodConfig, {**one, **_code_of([found[name]])}, f"method {name}.yaml")
        for name, one in values.items()
        if "steps" not in one
    }


def _read_method(found: Found) -> dict[str, Any]:
    """A method's YAML. Raises ConfigError where it does not say the file's name."""
    values = _read_yaml(found.yaml, resolve=False)
    if not isinstance(values, dict) or ("steps" not in values and values.get("name") != found.name):
        raise ConfigError(
            f"{found.yaml} is not the YAML of method {found.name!r}",
            given=f"name: {values.get('name') if isinstance(values, dict) else values}",
            allowed=f"name: {found.name}",
            remedy="give the method the name of its files",
        )
    return values


def _code_of(found: Iterable[Found]) -> dict[str, Any]:
    """What a configuration says of the code of methods that are not ours."""
    modules = {one.name: one.module for one in found if one.module is not None}
    return {"modules": modules, "code": digest(modules.values())}


def sweep_files() -> dict[str, str]:
    files = sorted(shipped("sweeps").glob("*.yaml"))
    return {file.stem: _first_line(file) for file in files}


def _first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


# ------------------------------------------------------------------------------------------------- the command's parts


def _parsed(argument: str) -> tuple[str, str]:
    key, equals, value = argument.partition("=")
    if not equals or not key or key.startswith("-"):
        raise ConfigError(
            f"cannot read {argument!r}",
            given=argument,
            allowed="NAME=VALUE, e.g. method=msg train.epochs=10",
            remedy="see python -m deepunlearn.sweep --help",
        )
    if key.startswith(("+", "~")):
        raise ConfigError(
            "options cannot be added or removed, only set",
            given=argument,
            allowed=f"{key.lstrip('+~')}=VALUE",
            remedy=f"drop the {key[0]!r}",
        )
    return key, value


def _extra_methods(overrides: list[str]) -> str | None:
    """`extra_methods=DIR` of the command line, which comes last, or of the sweep file."""
    given = [value for key, value in map(_parsed, overrides) if key == "extra_methods" and value != "null"]
    return given[-1] if given else None


def _listed(value: str) -> list[str]:
    """`ft`, `ft,ct` or `[ft,ct]` as a list."""
    return [item.strip() for item in value.strip("[]").split(",") if item.strip()]


def _sweep_file(names: list[str]) -> tuple[SweepFile, str]:
    if not names:
        return SweepFile(), "sweep"
    path = Path(names[-1])
    if path.suffix != ".yaml":
        path = shipped("sweeps") / f"{names[-1]}.yaml"
    if not path.is_file():
        raise unknown("sweep", names[-1], sweep_files(), remedy="give one of these names, or a path ending in .yaml")
    return validate(SweepFile, _read_yaml(path) or {}, f"sweep file {path.name}"), path.stem


def _read_yaml(path: Path, resolve: bool = True) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"cannot read {path}", given=str(error)[:300], remedy="correct the YAML file") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise ConfigError(f"{path} is not YAML", given=str(error)[:300], remedy="correct the file") from error
        raise


def _refuse_axis(override: str) -> None:
    key, _ = _parsed(override)
    if key in (*AXES, "sweep"):
        raise ConfigError(
            "a sweep file's overrides cannot set an axis",
            given=override,
            allowed="cells: and methods: for these",
            remedy=f"move {key} out of overrides:",
        )


def _cells(file: SweepFile, axes: dict[str, list[str]]) -> list[tuple[str | None, str | None]]:
    """Pairs of dataset and arch; an axis given on the command line replaces the file's. None: sweep.yaml's default."""
    for cell in file.cells:
        if set(cell) != {"dataset", "arch"}:
            raise ConfigError(
                "a cell of a sweep file names dataset and arch",
                given=str(cell),
                allowed="{dataset: NAME, arch: NAME}",
                remedy="correct the cells: list",
            )
    default: list[str | None] = [None]
    if not file.cells:
        return list(itertools.product(axes.get("dataset") or default, axes.get("arch") or default))
    pairs = [
        (dataset, arch)
        for cell in file.cells
        for dataset in axes.get("dataset") or [cell["dataset"]]
        for arch in axes.get("arch") or [cell["arch"]]
    ]
    return list(dict.fromkeys(pairs))


# --------------------------------------------------------------------------------------------------------- composition


def _build(
    cells: list[tuple[str | None, str | None]], methods: list[str], overrides: list[str], found: dict[str, Found]
) -> tuple[SweepConfig, Flags]:
    _offer(found)
    steps = [override for override in overrides if STEP.match(override)]
    overrides = [override for override in overrides if override not in steps]
    shared = [override for override in overrides if not override.startswith(("method.", "dataset.", "train.", "arch."))]
    base = _composed(shared)
    flags = validate(Flags, {name: base[name] for name in FLAGS}, "")
    ours = [override for override in overrides if override.startswith("method.")]
    chosen = [_method(name, shared, ours, steps, found) for name in (methods or [base["method"]["name"]])]
    built = [_cell(dataset, arch, overrides, ours, base) for dataset, arch in cells]
    values = {
        "cells": built,
        "methods": chosen,
        "seeds": _seeds(base),
        "results": base["results"],
        "hparams": _hparams(base["hparams"]),
        "keep": base["keep"],
        "launcher": _launcher(base["launcher"]),
        **{name: base[name] for name in ("search", "protocol", "runtime")},
    }
    if base["launcher"]["name"] == "slurm" and base["search"]["storage"] is None:
        values["search"]["storage"] = "journal"  # SQLite's locks do not hold on file systems of several machines
    return validate(SweepConfig, values, ""), flags


def _offer(found: dict[str, Found]) -> None:
    """Let Hydra compose methods that are not in conf/ like those that are."""
    for one in found.values():
        values = _read_method(one)
        if one.yaml.parent != shipped("conf") / "method":
            ConfigStore.instance().store(group="method", name=one.name, node=OmegaConf.create(values))


def _method(name: str, shared: list[str], ours: list[str], steps: list[str], found: dict[str, Found]) -> MethodConfig:
    if name not in found:
        raise unknown("method", name, found)
    values = _composed([f"method={name}", *shared, *ours])["method"]
    used = [name]
    if "steps" in values:
        used = values["steps"]
        values = _chained(values, shared, steps, found)
    values = _with_mask(values)
    settings = [*ours, *(steps if "steps" in values else [])]
    changed = tuple(sorted(override.removeprefix("method.") for override in settings if not override.endswith("=null")))
    code = _code_of(found[one] for one in dict.fromkeys(used))
    method = validate(MethodConfig, {**values, **code, "changed": changed}, "method")
    assert method.fixed is not None  # typed now, so that a bad value is refused before anything runs
    return method


def _with_mask(values: dict[str, Any]) -> dict[str, Any]:
    """A mask's threshold is a hyper-parameter of the method like any other."""
    if values.get("mask") is None:
        return values
    mask = validate(MaskConfig, values["mask"], "method.mask")
    if mask.threshold is None and not mask.search:
        return values
    spec = {**MASK_SPEC, "default": mask.threshold or MASK_SPEC["default"], "searched": mask.search}
    return {
        **values,
        "reads": sorted({*values["reads"], "forget"}),
        "space": {**values["space"], MASK_THRESHOLD: spec},
        "params": {**values["params"], MASK_THRESHOLD: None if mask.search else mask.threshold},
    }


def _chained(values: dict[str, Any], shared: list[str], settings: list[str], found: dict[str, Found]) -> dict[str, Any]:
    """A chain's hyper-parameters are those of its steps, with the step's number before them: 0.lr, 1.epochs."""
    names = values["steps"]
    if len(names) < 2:
        raise ConfigError(
            "a chain needs at least two steps",
            given=str(names),
            allowed=f"a list of {', '.join(found)}",
            remedy="give chain.steps=[ct,ngplus]",
        )
    for name in names:
        if name not in found:
            raise unknown("method", name, found)
    steps = [_composed([f"method={name}", *shared])["method"] for name in names]
    if any("steps" in step for step in steps):
        raise ConfigError("a chain cannot be a step of a chain", given=str(names), remedy="list the methods themselves")
    numbered = list(enumerate(_with_mask(step) for step in steps))
    params = {f"{index}.{name}": None for index, step in numbered for name in step["params"]}
    for setting in settings:
        key, _, value = setting.removeprefix("chain.").partition("=")
        if key not in params:
            raise unknown("option", f"chain.{key}", [f"chain.{name}" for name in params])
        params[key] = OmegaConf.from_dotlist([f"value={value}"])["value"]
    return {
        "name": "-".join(names),
        "version": int("".join(str(step["version"]) for step in steps)),
        "title": " + ".join(step["title"] for step in steps),
        "paper": "; ".join(step["paper"] for step in steps),
        "reads": sorted({part for step in steps for part in step["reads"]}),
        "epoch_cost": sum(step["epoch_cost"] for step in steps) / len(steps),
        "space": {
            f"{index}.{name}": _numbered(spec, index)
            for index, step in numbered
            for name, spec in step["space"].items()
        },
        "params": params,
        "steps": names,
    }


def _numbered(spec: dict[str, Any], index: int) -> dict[str, Any]:
    """A step's parameter whose range names other parameters of the same step."""
    if spec.get("between") is None:
        return spec
    ends = [re.sub(r"[a-z]\w*", lambda name: _own(name.group(), index), str(end)) for end in spec["between"]]
    return {**spec, "between": [int(end) if end.isdigit() else end for end in ends]}


def _own(name: str, index: int) -> str:
    return name if name == "blocks" else f"{index}.{name}"


def _cell(
    dataset: str | None, arch: str | None, overrides: list[str], ours: list[str], base: dict[str, Any]
) -> CellConfig:
    named = [f"{axis}={name}" for axis, name in (("dataset", dataset), ("arch", arch)) if name]
    values = _composed([*named, *(override for override in overrides if override not in ours)])
    fields = {name: values[name] for name in ("dataset", "arch", "train", "forget")}
    if _kept_as_files(values["dataset"]) and not any(override.startswith("dataset.title=") for override in overrides):
        fields["dataset"]["title"] += " (image files)"  # re-encoded images are not quite the original data set
    for name in ("dataset", "arch", "train"):
        validate(CellConfig.model_fields[name].annotation, fields[name], name)  # type: ignore[arg-type]
    fields["forget"] = validate(FORGETS[fields["forget"]["name"]], fields["forget"], "forget")
    return validate(CellConfig, {**fields, "precision": base["runtime"]["precision"]}, "cell")


def _launcher(values: dict[str, Any]) -> LocalLauncher | SlurmLauncher:
    kind = LAUNCHERS.get(values["name"])
    if kind is None:
        raise unknown("launcher", values["name"], LAUNCHERS)
    return validate(kind, values, "launcher")


def _kept_as_files(dataset: dict[str, Any]) -> bool:
    """Whether a data set that has files of its own format is read from an image folder instead."""
    own = _read_yaml(shipped("conf") / "dataset" / f"{dataset['name']}.yaml")["source"]
    return bool(dataset["source"] == "folder" != own)


def _composed(overrides: list[str]) -> dict[str, Any]:
    """Plain values of `conf/sweep.yaml` under `overrides`. Raises ConfigError for unknown names."""
    try:
        config = compose("sweep", overrides=overrides)
        return dict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException, ConfigCompositionException) as error:
        raise _explained(error, overrides) from None


def _explained(error: Exception, overrides: list[str]) -> ConfigError:
    text = f"{error} {error.__cause__ or ''}"
    if missing := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, name = missing.groups()
        return unknown(group, name, options(group))
    if key := re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct|full_key: (\S+)", text):
        name = next(part for part in key.groups() if part)
        return unknown("option", name, _known_keys(name, [one for one in overrides if one.split("=")[0] in AXES]))
    if "mismatched input" in text or "no viable alternative" in text or "token recognition" in text:
        return ConfigError(
            "an option cannot be read",
            given=text.splitlines()[0][:200],
            allowed="NAME=VALUE",
            remedy="quote the value, e.g. 'dataset.root=\"my folder\"'",
        )
    return ConfigError(
        "the configuration cannot be composed", given=text[:400], remedy=f"check these settings: {' '.join(overrides)}"
    )


def _known_keys(name: str, chosen: list[str]) -> list[str]:
    """The options beside `name`, with these options of the axes: of its group, or the top-level ones."""
    config: Any = compose("sweep", overrides=chosen)
    prefix = ""
    for part in name.split(".")[:-1]:
        if not isinstance(config, DictConfig) or part not in config or not isinstance(config[part], DictConfig):
            break
        config, prefix = config[part], f"{prefix}{part}."
    return [f"{prefix}{key}" for key in config]


def _seeds(base: dict[str, Any]) -> list[int]:
    """`10` -> seeds 0 to 9; a list stays as it is; with forget=halves the design's models."""
    value = base["seeds"]
    if base["forget"]["name"] == "halves":
        return list(range(validate(HalvesForget, base["forget"], "forget").models))
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return list(range(value))
    if isinstance(value, list) and value and len(set(value)) == len(value) and all(type(one) is int for one in value):
        return value
    raise ConfigError(
        "seeds has a value that cannot be used",
        given=repr(value),
        allowed="a number n >= 1 (seeds 0 to n-1), or a list of different seeds",
        remedy="e.g. seeds=10 or seeds=[0,1,2]",
    )


def _hparams(path: str | None) -> dict[str, Any]:
    """`hparams=FILE`: dataset/arch/method -> values."""
    if path is None:
        return {}
    file = Path(path)
    if not file.is_file():
        raise ConfigError(
            "the hparams file does not exist",
            given=path,
            allowed="a YAML file as a sweep writes it",
            remedy="give the path of an existing file",
        )
    values = _read_yaml(file)
    if not isinstance(values, dict) or not all(isinstance(value, dict) for value in values.values()) or not values:
        raise ConfigError(
            f"{file.name} does not hold hyper-parameters",
            given=str(values)[:200],
            allowed="DATASET/ARCH/METHOD: {name: value, ...}",
            remedy="write it as a sweep does",
        )
    return values
