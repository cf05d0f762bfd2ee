"""`reference.original=`: models of one's own in place of originals that a sweep trains, and the recipe of these.

Everything that can be told without reading weights is told here; `given_model.check_originals` looks into the files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deepunlearn.config.arguments import SEED
from deepunlearn.config.files import read_yaml
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import is_readable
from deepunlearn.core.schema import GivenFile, GivenOriginals, SweepConfig, TrainConfig
from deepunlearn.core.validation import validate

FILES = "a safetensors file, or one that torch.save wrote of a state dict"
RECIPE = ", ".join(TrainConfig.model_fields)


class Originals(NamedTuple):
    """What a command says of them. train: the recipe's values; null: sweeps train by train.* as ever, or not at all."""

    given: GivenOriginals | None = None
    train: dict[str, Any] | None = None


def read_originals(values: dict[str, Any], seeds: Sequence[int], overrides: Sequence[str]) -> Originals:
    """Of `reference.original` and `reference.recipe`. Raises ConfigError for what cannot be.

    seeds: those of the report; overrides: all that the command sets, none of which may be a recipe of its own.
    """
    original, recipe = values["original"], values["recipe"]
    if original is None:
        if recipe is not None:
            raise ConfigError(
                "a recipe is given, and no original that was trained by it",
                given=f"reference.recipe={recipe}",
                allowed="reference.recipe= beside reference.original=",
                remedy="give reference.original=FILE, or train.NAME= for originals that the sweep trains",
            )
        return Originals()
    _refuse_training(overrides)
    files = _files(_paths(original, seeds), seeds)
    train = None if recipe is None else _recipe(recipe)
    return Originals(GivenOriginals(files=files, recipe=train is not None), train)


def _refuse_training(overrides: Sequence[str]) -> None:
    own = [override for override in overrides if override.startswith(("train.", "train="))]
    if own:
        raise ConfigError(
            "the original is given, so that train. is of no model that the sweep knows how to train",
            given=" ".join(own),
            allowed="reference.recipe=FILE, with the recipe that the original was trained by",
            remedy=f"write {RECIPE} into a YAML file and give reference.recipe=FILE; or leave {own[0]} out",
        )


def _paths(original: Any, seeds: Sequence[int]) -> list[str]:
    """One for each seed, in their order."""
    one = [original] if isinstance(original, str) else original
    if not isinstance(one, list) or not one or not all(isinstance(path, str) and path for path in one):
        raise ConfigError(
            "reference.original= takes files",
            given=f"reference.original={original}",
            allowed=f"{FILES}; a list with one for each seed; or one name with {SEED} in it",
            remedy="give e.g. reference.original=model.safetensors seeds=1",
        )
    if len(one) == 1 and SEED in one[0]:
        return [one[0].replace(SEED, str(seed)) for seed in seeds]
    if len(one) != len(seeds):
        raise _other_number(one, seeds)
    return one


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds[:10])) + (", ..." if len(seeds) > 10 else "")


def _other_number(paths: Sequence[str], seeds: Sequence[int]) -> ConfigError:
    return ConfigError(
        f"there are {'fewer' if len(paths) < len(seeds) else 'more'} originals than seeds",
        given=f"{len(paths)} files in reference.original=, {len(seeds)} seeds ({_listed(seeds)})",
        allowed="one file for each seed, in the order of the seeds",
        remedy=f"give seeds={len(paths)}, or as many files as seeds: reference.original=[a.safetensors,b.safetensors]",
    )


def _files(paths: Sequence[str], seeds: Sequence[int]) -> tuple[GivenFile, ...]:
    files = tuple(
        GivenFile(seed=seed, path=str(file.resolve()), digest=_digest(file))
        for seed, file in zip(seeds, (Path(path).expanduser() for path in paths), strict=True)
    )
    counts = Counter(file.digest for file in files)
    same = [f"seed {file.seed}: {file.path}" for file in files if counts[file.digest] > 1]
    if same:
        raise same_model(same)
    return files


def same_model(where: Sequence[str]) -> ConfigError:
    """The refusal of one model for two seeds."""
    return ConfigError(
        "the same model is given as the original of several seeds",
        given="; ".join(where),
        allowed="models of different trainings: seeds tell how far results differ from training to training",
        remedy="give each file once, and seeds=1 where there is one model",
    )


def _digest(file: Path) -> str:
    """Of the file's content, 16 hex digits."""
    if not is_readable(file, "reference.original"):
        raise ConfigError(
            "there is no such file of an original",
            given=f"reference.original={file}",
            allowed=FILES,
            remedy="correct the path; torch.save(model.state_dict(), FILE) writes such a file",
        )
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def _recipe(path: Any) -> dict[str, Any]:
    file = Path(str(path)).expanduser()
    if not isinstance(path, str) or not is_readable(file, "reference.recipe"):
        raise ConfigError(
            "there is no such file of a recipe",
            given=f"reference.recipe={path}",
            allowed=f"a YAML file with {RECIPE}; those under conf/train/ are examples",
            remedy="correct the path, or leave it out: measures that need no retrained model are computed then",
        )
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise ConfigError(
            f"{file.name} is no recipe",
            given=str(values)[:200],
            allowed=f"NAME: VALUE for each of {RECIPE}",
            remedy="write it like those under conf/train/",
        )
    try:
        return _checked(values)
    except ConfigError as error:
        told = f"{file.name}: {error.problem}"
        remedy = f"correct the file: {error.remedy}" if "did you mean" in str(error.remedy) else "correct the file"
        raise ConfigError(told, given=error.given, allowed=error.allowed, remedy=remedy) from None


def _checked(values: dict[Any, Any]) -> dict[str, Any]:
    """Raises ConfigError unless these are all the values of a recipe: none is taken from the dataset's own."""
    for name in values:
        if name not in TrainConfig.model_fields:
            raise unknown("value of a recipe", str(name), TrainConfig.model_fields)
    missing = [name for name in TrainConfig.model_fields if name not in values]
    if missing:
        raise ConfigError("the recipe does not say everything", given=f"no {', '.join(missing)}",
                          allowed=f"a value for each of {RECIPE}", remedy="add what is missing")  # fmt: skip
    return validate(TrainConfig, values, "train").model_dump()


# ------------------------------------------------------------------------------------------------------- what fits them


def check_given(sweep: SweepConfig) -> None:
    """Raises ConfigError for what a sweep on given originals cannot do."""
    given = sweep.cells[0].given
    if given is None:
        return
    _check_cells(sweep)
    _check_methods(sweep)
    if sweep.search.sampler is not None and not sweep.hparams:
        _check_search(sweep, given)


def _check_cells(sweep: SweepConfig) -> None:
    names = list(dict.fromkeys(cell.short_name for cell in sweep.cells))
    if len(names) > 1:
        raise ConfigError(
            "the originals are given, and they are of one dataset and architecture",
            given=", ".join(names),
            allowed="one dataset= and one arch=, with as many forget sets as you like",
            remedy="run one command for each",
        )
    for cell in sweep.cells:
        if cell.forget.by_confidence or not cell.forget.shares_original:
            raise ConfigError(
                f"the forget set {cell.forget.spelling} needs originals that are trained for it",
                given=f"forget={cell.forget.name} with reference.original=",
                allowed="forget sets that are chosen from the data alone, or by a file: random, classes, where, list",
                remedy="choose another forget set, or leave reference.original= out",
            )


def _check_methods(sweep: SweepConfig) -> None:
    for method in sweep.methods:
        if method.records or method.watches:
            raise ConfigError(
                f"{method.name} needs a record of the original's training, and of a given original there is none",
                given=f"method={method.name} with reference.original=",
                allowed="methods that look at the original alone; of rum also one with a bank, rum.bank=DIR",
                remedy=f"leave {method.name} out, or leave reference.original= out: a sweep records what it trains",
            )


def _check_search(sweep: SweepConfig, given: GivenOriginals) -> None:
    """Trials are held against retrained models, and run on the originals of the search seeds."""
    if not given.recipe:
        raise ConfigError(
            "a search holds each trial against a retrained model, and without a recipe there is none",
            given=f"search={sweep.search.name} without reference.recipe=",
            allowed="search=none (defaults, or method.params.NAME=VALUE), hparams=FILE, or a recipe",
            remedy="give search=none, or reference.recipe=FILE",
        )
    known = {file.seed for file in given.files}
    missing = sorted({seed for cell in sweep.cells for seed in sweep.search_seeds(cell)} - known)
    if missing:
        raise ConfigError(
            "the search runs on originals of seeds for which none is given",
            given=f"search seeds {_listed(missing)}; originals of seeds {_listed(sorted(known))}",
            allowed="protocol=paper, and no more search seeds than there are originals, counted from 0",
            remedy=f"give search.seeds={len(known)} or fewer with protocol=paper, or search=none",
        )
