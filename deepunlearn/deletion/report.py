"""The report of a deletion: what was asked, what was done, what was found and what that does not prove.

`report.json` is this model as JSON; the page is made of it alone. Nothing in it shows a sample: no image, name, number.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from deepunlearn.core.params import Value
from deepunlearn.core.validation import Frozen

ATTACK = "attack"  # the check that looks at the deleted samples
NOT_SHOWN = "No check shows that the samples were forgotten: the attack could not be judged."
FORMAT: Literal[1] = 1  # of report.json: raised when a field changes its meaning or goes

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]


class Estimate(Frozen):
    """A number and its 95 % interval; the ends are None where it has none (a count, a time)."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None


class Figure(Frozen):
    """One thing that was measured: of the model as it was given, of the unlearned one, and their difference.

    None: not measured, or not defined; note says why. kind: an accuracy and a share are in [0, 1]; of an attack the
    area under the ROC curve, 0.5 is chance; steps are counted.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    title: Text  # in words
    kind: Literal["accuracy", "share", "auc", "steps"]
    before: Estimate | None = None
    after: Estimate | None = None
    drop: Estimate | None = None  # before - after
    samples: Count  # that it is computed on
    against: Count | None = None  # the other side of an attack
    note: str | None = None


Outcome = Literal["passed", "failed", "not judged"]


class Check(Frozen):
    """A question about the unlearned model and its answer. A check without a rule is told, and not judged."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    title: Text
    outcome: Outcome
    rule: str | None  # when it is passed, with the limit; None: there is none
    found: Text  # the answer, in a sentence
    figures: tuple[Figure, ...] = ()
    shows: Text
    does_not_prove: Text


class Limits(Frozen):
    """What the checks allow; options of the command."""

    accuracy_drop: Annotated[float, Field(gt=0, lt=1)]  # of the accuracy on held-out data, as a share
    attack_auc: Annotated[float, Field(gt=0, lt=0.5)]  # distance of the attack's AUC from chance, 0.5
    relearn: bool  # whether relearning is measured


class Request(Frozen):
    """What was asked. ids_sha256: of the list, however it is ordered or spelled; ids_hashed says what is hashed."""

    samples: Annotated[int, Field(ge=1)]
    listed_by: Literal["file", "id"]  # names of files, or numbers of training samples
    ids_sha256: Sha256
    ids_hashed: Text
    method: Text  # auto, or the name of a method
    values: dict[str, Value]  # hyper-parameters that the command fixes
    seed: Count
    limits: Limits
    classes: Annotated[int, Field(ge=1)]  # that the samples are of
    whole_classes: Count  # of which no sample is retained


class DataFacts(Frozen):
    """The data by size. Training data are retained or deleted; of the test part `held_out` samples are for the checks,
    and `validation` ones for the method, which are in no check.
    """

    name: Text
    title: Text
    digest: Sha256  # of all samples and labels
    image_size: Annotated[int, Field(ge=1)] | None  # None: a table
    classes: Annotated[int, Field(ge=2)]
    training: Count
    retained: Count
    deleted: Count
    held_out: Count
    validation: Count
    prepared: Text | None = None  # how images were made what the network sees; None: a table
    remarks: tuple[Text, ...] = ()  # what its reader should know of them


class ModelFacts(Frozen):
    """The network. Weights are hashed by their names, types, shapes and values, whatever file they stand in; files by
    their bytes. What is of the unlearned model is None where checks failed, as its weights are then not written.
    """

    name: Text
    title: Text
    parameters: Annotated[int, Field(ge=1)]
    weights_hashed: Text
    weights_before: Sha256
    weights_after: Sha256 | None
    file_before: Sha256
    file_after: Sha256 | None


class Choice(Frozen):
    """Why method=auto took this method: the stored results that it was chosen by, and how near their setting is.

    points: of `nearness`, 0 for the same setting. order: how sure the order of the methods is there.
    """

    method: Text
    values: dict[str, Value]  # all its hyper-parameters
    source: tuple[Text, ...]  # the stored rows, as a person finds them: dataset, architecture, forget set, seeds
    points: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    near: Text  # how near their setting is, and in what it differs from this one, the largest difference first
    order: Text
    tied: Annotated[tuple[Text, ...], Field(min_length=1)]  # titles of the methods of the best place, this one first
    left_out: tuple[Text, ...] = ()  # methods of the same table that cannot be used here, and why
    passed_over: tuple[Text, ...] = ()  # nearer tables that were not used, and why
    why: Text  # which table is the nearest that ranks, and what the method did there


class MethodFacts(Frozen):
    """What was run. values: all hyper-parameters; notes: what the method says of its run."""

    name: Text
    title: Text
    paper: Text
    version: Annotated[int, Field(ge=1)]
    code: str | None = None  # digest of the code of a method that is not ours
    values: dict[str, Value]
    epochs: Count
    notes: dict[str, Value] = Field(default_factory=dict)
    choice: Choice | None = None  # of method=auto


class Took(Frozen):
    """Wall seconds: of the method alone, of the checks, and of everything."""

    unlearning: Seconds
    checks: Seconds
    whole: Seconds


class Report(Frozen):
    """A deletion. outcome: passed where no check failed; only then are there new weights."""

    format: Literal[1] = FORMAT
    made: Text  # when, UTC, ISO 8601
    outcome: Literal["passed", "failed"]
    request: Request
    data: DataFacts
    model: ModelFacts
    method: MethodFacts
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    limits: tuple[Text, ...]  # what no check of this report proves
    seconds: Took
    program: dict[str, str | int | None]  # versions, commit and machine

    @model_validator(mode="after")
    def _told_as_it_ended(self) -> Report:
        failed = any(check.outcome == "failed" for check in self.checks)
        if failed == self.passed:
            raise ValueError(f"outcome {self.outcome} is not what the checks say")
        if {self.model.weights_after is not None, self.model.file_after is not None} != {self.passed}:
            raise ValueError("weights are written where all checks passed, and only there")
        return self

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    @property
    def tells_of_the_deleted(self) -> bool:
        """Whether a check of the deleted samples was judged. Without one, what was passed is about the others alone."""
        return any(check.name == ATTACK and check.outcome != "not judged" for check in self.checks)

    def json_text(self) -> str:
        """What stands in report.json."""
        return self.model_dump_json(indent=1) + "\n"
