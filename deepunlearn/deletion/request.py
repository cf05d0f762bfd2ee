"""What a command asks for: the model, the data, whose samples are deleted, how, and what the checks allow."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from deepunlearn.config import Command, read_command
from deepunlearn.config.arguments import check, each, listed, parsed, quoted, resolved
from deepunlearn.config.files import options
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.paths import is_readable
from deepunlearn.core.samples import Data, Indices
from deepunlearn.core.schema import CellConfig, RuntimeConfig
from deepunlearn.core.seeding import SEED_BITS
from deepunlearn.core.validation import Frozen, refuse_repeats, validate
from deepunlearn.data import sources
from deepunlearn.deletion.report import Limits
from deepunlearn.forget.list import Listed, located, plain_names, read
from deepunlearn.registry import Folders

AUTO = "auto"  # method=auto: picked from stored results
ACCURACY_DROP, ATTACK_AUC = 0.02, 0.05  # what the checks allow where nothing is said
NEEDED = {  # -> what stands behind it
    "model": "a file of weights: safetensors, or a state dict of torch.save",
    "ids": "a CSV file with a column file or id",
    "out": "a folder that is not there yet",
}
OWN = (*NEEDED, "data", "method", "seed", "plan", "relearn", "results", "checks.accuracy_drop", "checks.attack_auc")
ANY_SHARE = 0.2  # of data that are looked at to see whether a share is cut off
TEXTS = (*NEEDED, "data", "method", "results")  # that are no numbers: a folder may be called 2024
COMPOSED = ("arch", "dataset", "plugins", "extra_methods")  # options that a sweep has, too
OPEN = ("arch.", "dataset.", "method.params.", "runtime.")
REFUSED = {  # options of sweeps that a deletion has another word for, or no use
    "arch.weights": "model=FILE names the weights",
    "dataset.limit": "all training samples count: the model was trained on them",
    "dataset.val_ratio": "all training samples count; validation samples are taken from the test part",
    "dataset.split_seed": "nothing is drawn from the training part",
    "dataset.max_batch_size": "nothing is searched",
    "dataset.duplicates": "copies of a sample are listed like the sample; the report counts those that are retained",
}
IDS_HASHED = {
    "id": "sha256 of the sample numbers in ascending order, in decimal, each followed by a line feed",
    "file": "sha256 of the file names in UTF-8, relative to the dataset's folder, sorted, each followed by a line feed",
}


class Options(Frozen):
    """What the command says of the deletion itself."""

    model: str
    ids: str
    out: str
    method: str = AUTO
    seed: Annotated[int, Field(ge=0, lt=2**SEED_BITS)] = 0
    plan: bool = False
    relearn: bool = True
    results: tuple[str, ...] = ("results",)  # that method=auto picks from


class Asked(NamedTuple):
    """A command that was read: checked as far as that goes without the data.

    given: options of the configuration, of which the cell was made; method: None of method=auto; may_cut: whether the
    command says what share of the data is cut off for testing.
    """

    options: Options
    limits: Limits
    given: list[str]
    cell: CellConfig
    runtime: RuntimeConfig
    method: MethodConfig | None
    folders: Folders
    listed: Listed
    may_cut: bool


def read_request(arguments: Sequence[str]) -> Asked:
    """Raises ConfigError for what cannot be, before anything is computed."""
    refuse_repeats(arguments)
    pairs = [parsed(argument) for argument in arguments]
    for key, value in pairs:
        _check_key(key)
        _check_one(key, value)
    own = {key: f"{key}={value}" for key, value in pairs if key in OWN}
    given = [f"{key}={value}" for key, value in pairs if key not in OWN]
    chosen, limits = _options(own)
    _check_paths(chosen, own)
    composed = [*_data(own, given), *given]
    command = _composed(composed, None if chosen.method == AUTO else chosen.method)
    cell = _one(command.sweep.cells, given)
    may_cut = any(parsed(one)[0] == "dataset.test_ratio" for one in given)
    _check_outside(chosen.out, cell)
    _check_parent(chosen.out)
    if chosen.method == AUTO:
        _refuse_values(given)
    with named_ids(chosen.ids):
        entries = read(Path(chosen.ids))
    method = None if chosen.method == AUTO else _without_record(command.sweep.methods[0])
    return Asked(chosen, limits, composed, cell, command.sweep.runtime, method, _folders(given), entries, may_cut)


def with_method(asked: Asked, name: str) -> MethodConfig:
    """The method that method=auto has picked, as if it had been named."""
    return _composed(asked.given, name).sweep.methods[0]


def _check_key(key: str) -> None:
    if key in REFUSED:
        raise ConfigError(
            f"{key} has no place in a deletion: {REFUSED[key]}",
            given=key,
            allowed=", ".join((*OWN, *COMPOSED, *(f"{one}NAME" for one in OPEN))),
            remedy=f"leave {key} out",
        )
    if key not in (*OWN, *COMPOSED) and not key.startswith(OPEN):
        raise unknown("option", key, [*OWN, *COMPOSED, *(f"{one}NAME" for one in OPEN)])


def _check_one(key: str, value: str) -> None:
    """Raises ConfigError for a value that stands for several."""
    if key in (*TEXTS, *COMPOSED) or len(each(f"{key}={value}")) == 1:
        return
    raise ConfigError(
        f"{key} takes one value",
        given=f"{key}={value}",
        allowed="one value; a list is written [a,b]",
        remedy=f"run one command for each value; a text with a comma in it is quoted: '{key}=\"{value}\"'",
    )


def _options(own: dict[str, str]) -> tuple[Options, Limits]:
    for key, argument in own.items():
        if key not in TEXTS:
            check(argument)
    for name, what in NEEDED.items():
        if name not in own:
            raise ConfigError(f"{name}= is missing", given=" ".join(own) or "nothing", allowed=f"{name}= with {what}",
                              remedy=f"add {name}=")  # fmt: skip
    values = {name: _value(argument) for name, argument in own.items() if name != "data"}
    allowed = {
        "accuracy_drop": values.pop("checks.accuracy_drop", ACCURACY_DROP),
        "attack_auc": values.pop("checks.attack_auc", ATTACK_AUC),
    }
    if "results" in values:
        values["results"] = _folder_names(own["results"])
    chosen = validate(Options, values, "")
    return chosen, validate(Limits, {**allowed, "relearn": chosen.relearn}, "checks")


def _value(argument: str) -> Any:
    key, text = parsed(argument)
    return text.strip("\"'") if key in TEXTS else resolved(argument)


def _folder_names(argument: str) -> list[str]:
    text = parsed(argument)[1].strip("[]\"'")
    return [name.strip() for name in text.split(",")]


def _check_paths(chosen: Options, own: dict[str, str]) -> None:
    """The files that are read are there, the folder that is written is not, and can be made."""
    if not is_readable(Path(chosen.model), "model"):
        raise ConfigError(
            "there is no such file of weights",
            given=own["model"],
            allowed=NEEDED["model"],
            remedy="save the weights with torch.save(model.state_dict(), FILE), and give model=FILE",
        )
    out = Path(chosen.out)
    if out.exists() or out.is_symlink():
        raise ConfigError(
            "out= is there already, and nothing is overwritten",
            given=own["out"],
            allowed=NEEDED["out"],
            remedy="give another out=, or move away what is there",
        )


def _check_outside(out: str, cell: CellConfig) -> None:
    """A report among the images would be part of the next request's data."""
    root = cell.dataset.root
    if cell.dataset.source == "folder" and root and Path(out).resolve().is_relative_to(Path(root).resolve()):
        raise ConfigError(
            "out= lies in the folder of the data, where a later command would take it for images",
            given=f"out={out}, data in {root}",
            allowed=f"{NEEDED['out']}, outside of the data",
            remedy="give another out=",
        )


def _check_parent(out: str) -> None:
    parent = Path(out).absolute().parent
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise ConfigError(
            "out= cannot be made where it is to be",
            given=f"out={out}",
            allowed="a folder in one that is there and that you may write to",
            remedy=f"make {parent}, or give another out=",
        )


def _data(own: dict[str, str], given: Sequence[str]) -> list[str]:
    """`data=DIR` as options of the dataset."""
    if "data" not in own:
        return []
    for key, _ in map(parsed, given):
        if key in ("dataset.root", "dataset.source"):
            raise ConfigError(f"data= and {key}= say where the images are", given=f"{own['data']} {key}=",
                              allowed="one of them", remedy=f"leave {key} out")  # fmt: skip
    named = any(parsed(one)[0] == "dataset" for one in given)
    chosen = ["dataset.source=folder"] if named else ["dataset=folder"]
    return [*chosen, f"dataset.root={quoted(parsed(own['data'])[1])}"]


def _composed(given: Sequence[str], method: str | None) -> Command:
    if method is not None:
        names = listed("method", method)
        if names != [method] or method == "chain":
            raise unknown("method", method, [AUTO, *(one for one in options("method") if one != "chain")])
        return read_command([*given, f"method={method}"])
    return read_command(list(given))


def _without_record(method: MethodConfig) -> MethodConfig:
    if method.needs is None:
        return method
    raise ConfigError(
        f"method {method.name} needs a record of the model's training, and of a model from a file there is none",
        given=f"method={method.name}",
        allowed="methods that unlearn from the trained model alone: python -m deepunlearn.methods lists them",
        remedy="give another method: what this one needs can be recorded only while a model is trained",
    )


def _one(cells: Sequence[CellConfig], given: Sequence[str]) -> CellConfig:
    """The one cell that there is."""
    if len(cells) != 1:
        raise ConfigError("a deletion is of one model", given=" ".join(given), allowed="one dataset= and one arch=",
                          remedy="run one command for each model")  # fmt: skip
    return cells[0]


def _refuse_values(given: Sequence[str]) -> None:
    own = [one for one in given if one.startswith("method.")]
    if own:
        raise ConfigError(
            "method=auto takes its values from stored results",
            given=" ".join(own),
            allowed="method.params.NAME= beside method=NAME",
            remedy="name the method, or leave these out",
        )


def _folders(given: Sequence[str]) -> Folders:
    chosen = {key: str(resolved(one)) for one in given if (key := parsed(one)[0]) in Folders._fields}
    return Folders(**chosen)


# -------------------------------------------------------------------------------------------------------- the samples


def cut_off(asked: Asked) -> bool:
    """Whether the test part is cut off the data by a rule of ours. Raises ConfigError where nobody said that it may be.

    Also raises what reading the names of the files raises.
    """
    dataset = asked.cell.dataset
    share = dataset.test_ratio or ANY_SHARE
    facts = sources.find(dataset.model_copy(update={"test_ratio": share})).facts
    cut = any(fact.startswith("test_ratio=") for fact in facts)
    if cut and not asked.may_cut:
        raise ConfigError(
            "these data have no test part of their own, and the model may have been trained on all of them",
            given=f"dataset {dataset.name}" + (f" in {dataset.root}" if dataset.root else ""),
            allowed="data with a test part that the model was not trained on, such as DIR/train and DIR/test",
            remedy="put samples that it was not trained on into a test part; only where this program has trained it, "
            "without what dataset.test_ratio= cuts off, give that share",
        )
    return cut


class Ids(NamedTuple):
    """The listed samples. rows: of the training part, sorted; sha256: of the list, as `IDS_HASHED` says."""

    rows: Indices
    listed_by: Literal["file", "id"]
    sha256: str


def find_ids(asked: Asked, data: Data) -> Ids:
    """Raises ConfigError for entries that are unknown or there twice."""
    file, entries = asked.options.ids, asked.listed
    with named_ids(file):
        rows = located(file, entries, data)
    rows.sort()
    names = data.attributes.train_names
    if entries.of == "file" and names is not None:
        entries = entries._replace(entries=plain_names(entries.entries, names))
    return Ids(rows, entries.of, ids_sha256(entries))


def ids_sha256(entries: Listed) -> str:
    """The same for every order and spelling of a list: 7 and 07, a.png and ./a.png."""
    if entries.of == "id":
        lines = [str(number) for number in sorted(map(int, entries.entries))]
    else:
        lines = sorted(map(posixpath.normpath, entries.entries), key=str.encode)
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@contextmanager
def named_ids(file: str) -> Iterator[None]:
    """What is wrong with a list is told of the option by which this command has it."""
    try:
        yield
    except ConfigError as error:
        said = (None if text is None else str(text) for text in (error.given, error.allowed, error.remedy))
        given, allowed, remedy = (text and text.replace("forget.file=", "ids=") for text in said)
        problem = error.problem.replace("forget.file", f"ids={Path(file).name}")
        raise type(error)(problem, given=given, allowed=allowed, remedy=remedy) from None
