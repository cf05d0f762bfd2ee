"""The report of a deletion, filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepunlearn import __version__
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.store import now
from deepunlearn.data.decoded import Digest
from deepunlearn.deletion.checks import failed
from deepunlearn.deletion.division import Division
from deepunlearn.deletion.report import Check, Choice, DataFacts, MethodFacts, ModelFacts, Report, Request, Took
from deepunlearn.deletion.request import IDS_HASHED, Asked, Ids

if TYPE_CHECKING:
    from torch import nn

    from deepunlearn.data.loader import Part
    from deepunlearn.deletion.work import Work
    from deepunlearn.running import Run

LIMITS = (
    "Nothing here proves that the deleted samples left no trace: the checks look for known kinds of traces.",
    "The model was not compared with one that was trained anew without the samples. That would be the standard, and it "
    "costs what unlearning saves.",
    "Copies of the samples elsewhere are untouched: in folders and backups, in other models, in earlier versions of "
    "this one, in what was made with their help.",
    "Whether this meets a law's demand for erasure is not for a program to say.",
    "The hash of the list tells that this report is of that list. It hides no secret: who guesses a short list can "
    "confirm it.",
)


class Deletion(NamedTuple):
    """A request that can be carried out: everything is read and checked.

    values: all hyper-parameters; cut: whether the test part was cut off the data by a rule of ours.
    """

    asked: Asked
    ids: Ids
    digest: Digest
    division: Division
    method: MethodConfig
    values: dict[str, Value]
    choice: Choice | None
    work: Work
    cut: bool


def report_of(deletion: Deletion, run: Run, checks: tuple[Check, ...], model: ModelFacts, took: Took) -> Report:
    return Report(
        made=now(),
        outcome="failed" if failed(checks) else "passed",
        request=_request(deletion),
        data=data_facts(deletion),
        model=model,
        method=_method_facts(deletion, run),
        checks=checks,
        limits=LIMITS,
        seconds=took,
        program={"deepunlearn": __version__, "numpy": np.__version__, **_known(deletion.work)},
    )


def _known(work: Work) -> dict[str, str | int | None]:
    described = work.runtime.describe()
    kernels = described.pop("cpu_kernels")
    return {
        **{name: value for name, value in described.items() if name != "job"},
        "cpu_kernels": ", ".join(kernels) or None,
    }


def _request(deletion: Deletion) -> Request:
    asked, ids = deletion.asked, deletion.ids
    return Request(
        samples=len(ids.rows),
        listed_by=ids.listed_by,
        ids_sha256=ids.sha256,
        ids_hashed=IDS_HASHED[ids.listed_by],
        method=asked.options.method,
        values=asked.method.fixed if asked.method else {},
        seed=asked.options.seed,
        limits=asked.limits,
        classes=len(np.unique(deletion.digest.train_labels[ids.rows])),
        whole_classes=len(deletion.division.forgotten_classes),
    )


def data_facts(deletion: Deletion) -> DataFacts:
    dataset, division, digest = deletion.asked.cell.dataset, deletion.division, deletion.digest
    return DataFacts(
        name=dataset.name,
        title=dataset.title,
        digest=digest.digest,
        image_size=dataset.image_size,
        classes=len(digest.class_names),
        training=len(digest.train_labels),
        retained=len(division.retain),
        deleted=len(division.forget),
        held_out=len(division.held_out),
        validation=len(division.val),
        prepared=_prepared(deletion.work.parts["retain"]),
        remarks=tuple(_remarks(deletion)),
    )


def _prepared(part: Part) -> str | None:
    """In words; the numbers are those that were given, or those of the training images."""
    if part.pixel_std is None or part.pixel_bounds is None:
        return None
    mean, std = -part.pixel_bounds[0] * part.pixel_std, part.pixel_std
    said = (", ".join(f"{value:.4g}" for value in values.flatten().tolist()) for values in (mean, std))
    return "normalised by mean {} and standard deviation {} of each channel".format(*said)


def _remarks(deletion: Deletion) -> list[str]:
    """What makes the evidence weaker than it looks."""
    digest, division = deletion.digest, deletion.division
    remarks = []
    if deletion.cut:
        remarks.append("the test part was cut off by a rule of this program: the checks hold if the model never saw it")
    if digest.hashes is not None:
        train, test = digest.hashes
        deleted = train[division.forget]
        for where, others in (("among the retained samples", train[division.retain]), ("in the test part", test)):
            if count := int(np.isin(deleted, others).sum()):
                remarks.append(f"{count} of the deleted samples {_are(count)} {where} too, equal in every pixel")
    return remarks


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def model_facts(deletion: Deletion, model: nn.Module, weights: Path | None) -> ModelFacts:
    """weights: where those of the unlearned `model` are written; None: nowhere, as a check failed."""
    from deepunlearn.deletion.hashes import WEIGHTS_HASHED, file_sha256, weights_sha256  # noqa: PLC0415  it needs torch

    original = deletion.work.original
    return ModelFacts(
        name=deletion.asked.cell.arch.name,
        title=deletion.asked.cell.arch.title,
        parameters=sum(parameter.numel() for parameter in original.parameters()),
        weights_hashed=WEIGHTS_HASHED,
        weights_before=weights_sha256(original),
        weights_after=weights_sha256(model) if weights else None,
        file_before=file_sha256(Path(deletion.asked.options.model)),
        file_after=file_sha256(weights) if weights else None,
    )


def _method_facts(deletion: Deletion, run: Run) -> MethodFacts:
    method = deletion.method
    return MethodFacts(
        name=method.name,
        title=method.title,
        paper=method.paper,
        version=method.version,
        code=method.code,
        values=deletion.values,
        epochs=run.epochs,
        notes=run.notes,
        choice=deletion.choice,
    )
