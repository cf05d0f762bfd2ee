"""The kinds of keys, chained from the split to the row: each is an allow-list of what determines a result."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from deepunlearn.core.batches import FIRST
from deepunlearn.core.errors import ConfigError, StoreError
from deepunlearn.core.identity import LATER, Key
from deepunlearn.core.method_config import Records
from deepunlearn.core.params import Range, Value

SPLIT_VERSION = 1
TRAINING_VERSION = 1  # bump when originals or retrains of the same recipe would come out differently
STREAMS = 2  # data order, and what the network itself draws; they were one stream before
RECORD_VERSION = 1  # bump when what is recorded of the same training would come out differently
CONFIDENCE_VERSION = 1  # bump when the confidence of the same training would come out differently
SCORE_VERSION = 1  # bump when a trial's losses would come out differently

REPORT, SELECTION = "report", "selection"  # what a run of unlearning draws for, where a search had its own draws before


class SplitKey(Key):
    stage: ClassVar[str] = "split"
    data_digest: str  # of decoded images and labels
    image_size: int | None  # null: a table
    limit: int | None
    val_ratio: float
    forget: str
    forget_ratio: float | None  # of kinds with one
    split_seed: int
    version: int
    halvings: Annotated[int | None, LATER] = None  # of forget=halves, as are those below
    parts: Annotated[int | None, LATER] = None
    halving: Annotated[int | None, LATER] = None  # null: of the whole design
    part: Annotated[int | None, LATER] = None  # null: of a halving's original, which all parts share
    forget_version: Annotated[int | None, LATER] = None  # of kinds other than random and halves, as are those below
    forget_values: Annotated[dict[str, Any] | None, LATER] = None
    forget_code: Annotated[str | None, LATER] = None  # of kinds that are not ours


class NetworkKey(Key):
    """What tells an architecture from others of its name. Null in place of one whose every field has its default."""

    stage: ClassVar[str] = "network"
    version: Annotated[int, LATER] = 1
    code: Annotated[str | None, LATER] = None  # digest of a module's file that is not ours, or not of this name
    args: Annotated[dict[str, Value | tuple[Value, ...]], LATER] = Field({})
    parts: Annotated[dict[str, str | tuple[str, ...]], LATER] = Field({})  # named in a configuration
    weights: Annotated[str | None, LATER] = None  # digest of the file that training starts from


class ReferenceKey(Key):
    """An original (trained on D) or retrained (on D_R) model."""

    stage: ClassVar[str] = "reference"
    split: SplitKey
    role: Literal["original", "retrained"]
    arch: str
    classes: int
    seed: int
    epochs: int
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    crop_padding: int
    flip: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    precision: str
    version: int
    batches: Annotated[int, LATER] = FIRST  # by which rule passes were cut, where that makes a difference
    streams: Annotated[int | None, LATER] = None  # random streams of the training, of networks that draw while training
    network: Annotated[NetworkKey | None, LATER] = None
    given: Annotated[str | None, LATER] = None  # digest of the file of an original that no sweep trained


class ConfidenceKey(Key):
    """How sure an original was of each of its training samples, over the epochs of its training."""

    stage: ClassVar[str] = "confidence"
    original: ReferenceKey
    version: int


class RecordKey(Key):
    """What is recorded of an original's training, for methods that need the learning phase."""

    stage: ClassVar[str] = "record"
    original: ReferenceKey
    needs: Records
    forget: SplitKey | None  # names the samples whose batches count; null: no sample is told from others
    version: int
    values: Annotated[dict[str, Value], LATER] = Field({})  # hyper-parameters with role: record
    earlier: Annotated[SplitKey | None, LATER] = None  # whose forgotten samples' batches do not count


class SliceKey(Key):
    """A shard of an ensemble after it was trained on one of its slices."""

    stage: ClassVar[str] = "slices"
    record: RecordKey
    shard: int
    slice: int


class UnlearnedKey(Key):
    """A model after unlearning: the original, the method and the values of its hyper-parameters.

    earlier: the model of the round before, which it was made from; null: from the original.
    """

    stage: ClassVar[str] = "unlearned"
    original: ReferenceKey
    method: str
    method_version: int
    params: dict[str, Value]
    code: Annotated[str | None, LATER] = None  # digest of the files of methods that are not ours
    forget: Annotated[SplitKey | None, LATER] = None  # where the original's split does not name the forget set
    drawn: Annotated[str | None, LATER] = None  # REPORT where the seed was searched on; null: as its trials, if any
    batches: Annotated[int, LATER] = FIRST
    difficulty: Annotated[str | None, LATER] = None  # of needs: difficulty: where scores of samples are from, a hash
    earlier: Annotated[UnlearnedKey | None, LATER] = None


class MetricsKey(Key):
    """The scores of a model against the retrained one. `subject` may be a reference itself.

    split: of an original without a retrained model, as nothing else says what is forgotten: all forget sets share it.
    """

    stage: ClassVar[str] = "metrics"
    subject: UnlearnedKey | ReferenceKey
    retrained: ReferenceKey | None  # null: there is none, of a given original without a recipe
    version: int
    split: Annotated[SplitKey | None, LATER] = None


class MeasureKey(Key):
    """The values of one further measure of a model. A measure that comes later leaves all metrics as they are.

    split: as in `MetricsKey`.
    """

    stage: ClassVar[str] = "measures"
    subject: UnlearnedKey | ReferenceKey
    retrained: ReferenceKey | None
    measure: str
    version: int
    code: Annotated[str | None, LATER] = None  # digest of the files of measures that are not ours
    split: Annotated[SplitKey | None, LATER] = None


class GroupKey(Key):
    """The values of one measure of the models of a method over all seeds, each beside the retrained one of its seed."""

    stage: ClassVar[str] = "groups"
    subjects: tuple[UnlearnedKey, ...]
    retrained: tuple[ReferenceKey, ...]
    measure: str
    version: int
    code: Annotated[str | None, LATER] = None


class PanelKey(Key):
    """Class-activation maps of a model, its original and its retrained model."""

    stage: ClassVar[str] = "panels"
    subject: UnlearnedKey
    retrained: ReferenceKey
    version: int


class StudyKey(Key):
    """One Optuna study. The number of trials is not part of it: a study can be extended.

    earlier: what chose the values of the round before, whose models the trials are made from.
    """

    stage: ClassVar[str] = "study"
    original: ReferenceKey
    retrained: ReferenceKey
    method: str
    method_version: int
    ranges: dict[str, Range]
    fixed: dict[str, Value]
    sampler: str
    objective: str
    population_size: int | None
    prune: bool
    version: int
    code: Annotated[str | None, LATER] = None
    batches: Annotated[int, LATER] = FIRST
    difficulty: Annotated[str | None, LATER] = None  # as in UnlearnedKey
    earlier: Annotated[SearchKey | None, LATER] = None
    further: Annotated[
        tuple[tuple[ReferenceKey, ReferenceKey], ...], LATER
    ] = ()  # of the other seeds of a shared study
    pruner: Annotated[str, LATER] = "median"
    first_look: Annotated[float | None, LATER] = None  # of pruner: halving
    look_samples: Annotated[int | None, LATER] = None
    stops_early: Annotated[bool, LATER] = False  # then the first of `starts` is tried on each seed
    # where they are from -> values of the first trials
    starts: Annotated[dict[str, dict[str, Value]], LATER] = Field({})


class SearchKey(Key):
    """The winner of a cell and method: its studies, how many trials of each count, and the selection rule."""

    stage: ClassVar[str] = "search"
    studies: tuple[StudyKey, ...]
    trials: int
    selection: str
    candidates: int | None
    protocol: str
    space: str
    drawn: Annotated[str | None, LATER] = None  # SELECTION: what candidates are held against, of selection=robust


StudyKey.model_rebuild()  # it names a key that comes after it


class GivenKey(Key):
    """Stands where a search would, for hyper-parameters that were given or left at their defaults."""

    stage: ClassVar[str] = "given"
    protocol: str
    source: Literal["default", "file"]


class SequenceKey(Key):
    """Requests that arrive one after the other: what is forgotten in the end, and how it is cut into requests."""

    stage: ClassVar[str] = "sequence"
    whole: SplitKey
    rounds: int | None = None  # requests of equal size, or as listed
    schedule: tuple[int, ...] | None = None  # sizes of the requests in their order, instead of rounds of equal size
    listed: str | None = None  # digest of samples with the number of their request


class RowKey(Key):
    """A line of a table: one model's metrics, and for unlearned models the search that chose its values."""

    stage: ClassVar[str] = "rows"
    metrics: MetricsKey
    search: SearchKey | GivenKey | None
    result_set: Annotated[str | None, LATER] = None  # where the row without it stands in another table
    cell: Annotated[str | None, LATER] = None  # of given originals, of which a model may stand in several cells
    sequence: Annotated[SequenceKey | None, LATER] = None  # of a round
    round: Annotated[int | None, LATER] = None


class AttackKey(Key):
    """The per-sample attack on all models of a method, e.g. on what they forgot."""

    stage: ClassVar[str] = "attacks"
    models: str  # digest of their keys
    question: Literal["forgotten", "retained"]
    version: int
    attack: Annotated[str | None, LATER] = None  # one other than U-LiRA's own


class VerdictKey(Key):
    """What the models of a method in U-LiRA's design say beside attacks, held against the retrained ones."""

    stage: ClassVar[str] = "verdicts"
    models: str  # digest of their keys, as below
    retrained: str
    version: int


class MemorisationKey(Key):
    """How much each sample is memorised, by the originals of U-LiRA's design."""

    stage: ClassVar[str] = "memorisation"
    originals: str
    version: int


class CellKey(Key):
    """What all models of one cell share; its short hash joins rows of originals, retrains and methods."""

    stage: ClassVar[str] = "cell"
    split: SplitKey
    arch: str
    epochs: int
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    crop_padding: int
    flip: bool
    precision: str
    network: Annotated[NetworkKey | None, LATER] = None
    given: Annotated[tuple[str, ...] | None, LATER] = None  # SEED:DIGEST of each original that no sweep trained
    sequence: Annotated[SequenceKey | None, LATER] = None  # of a round
    round: Annotated[int | None, LATER] = None  # null: of the sequence


class ResultSetKey(Key):
    """What may stand in one table: a cell, a protocol and one way of choosing hyper-parameters."""

    stage: ClassVar[str] = "result_set"
    cell: CellKey
    protocol: str
    source: Literal["search", "default", "file"]
    search: dict[str, Value | None]
    changed: tuple[str, ...]  # method.* settings made by hand, e.g. "params.lr=0.01"


KINDS = {kind.stage: kind for kind in Key.__subclasses__()}


def key_in(config: Any, where: str) -> Key:
    """The key that a `config.json` holds, whatever its kind; where: the file, for the message.

    Raises StoreError where it is none that this version knows, or not the one whose hash stands beside it.
    """
    try:
        key = KINDS[config["stage"]].model_validate(config["key"])
        plain = json.loads(json.dumps(key.canonical()))
        wrong = "" if config == {"stage": key.stage, "hash": key.hash, "key": plain} else "it has another hash"
    except (LookupError, TypeError, ValueError, ConfigError) as error:
        wrong = f"{type(error).__name__}: {error}"
    if wrong:
        raise StoreError(
            f"{where} holds no key of this version",
            given=" ".join(wrong.split())[:200],
            allowed=f"stage, key and the hash of both; stages: {', '.join(sorted(KINDS))}",
            remedy="use the version that wrote it, or a newer one, or have the file written again",
        )
    return key
