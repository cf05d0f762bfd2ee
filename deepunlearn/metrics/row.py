"""The schema of a row: a line of the results, of one evaluated model; originals and retrained models have theirs too.

`Labels` here, the scores from the catalogue of measures. Without pandas, so that planning can ask for names.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)

from deepunlearn.core.measure_config import Measure
from deepunlearn.metrics.catalogue import BUILT_IN, Catalogue, taken_twice


def _json(text: str) -> str:
    TypeAdapter(dict[str, Any]).validate_json(text)
    return text


def _date(text: str) -> str:
    datetime.datetime.fromisoformat(text)
    return text


Id = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Json = Annotated[str, AfterValidator(_json)]
Date = Annotated[str, AfterValidator(_date)]


class Labels(BaseModel):
    """What a row says of the model beside its scores: which it is, and the conditions under which it was made.

    Rows of other versions can be read: a field that may be null may be missing, and unknown ones are passed over.
    """

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    cell: Id = Field(description="split, architecture, recipe and precision: what all models of one cell share")
    result_set: Id | None = Field(
        None, description="cell, protocol and how hyper-parameters were chosen; null for references"
    )
    dataset: Text = Field(description="name of the dataset")
    dataset_title: Text = Field(description="the dataset as people write it")
    arch: Text = Field(description="name of the architecture")
    arch_title: Text = Field(description="the architecture as people write it")
    protocol: Text | None = Field(None, description="which seeds are searched on; null for references")
    search: Text | None = Field(
        None, description="the search, or where hyper-parameters came from without one; null for references"
    )
    space: Text | None = Field(None, description="search ranges: paper or ours; null without a search")
    selection: Text | None = Field(None, description="how the best trial was chosen; null without a search")
    trials: Count | None = Field(
        None, description="trials of the search as asked for, of all its studies; null without a search"
    )
    method: Text = Field(description="unlearning method, or original / retrained")
    method_title: Text = Field(description="the method as people write it")
    method_version: Count | None = Field(None, description="version of the method's mathematics; null for references")
    seed: Count = Field(description="model seed")
    params: Json | None = Field(None, description="hyper-parameters as a JSON object; null for references")
    notes: Json | None = Field(
        None, description="what the method recorded of its run, e.g. rewound_to, as a JSON object"
    )
    train_epochs: Count | None = Field(
        None, description="epochs of originals and retrains; null of a given original without a recipe"
    )
    train_batch_size: Count | None = Field(None, description="samples per step of these; null as above")
    train_lr: Number | None = Field(None, description="initial learning rate of these; null as above")
    given_original: Text | None = Field(
        None, description="file of the original, which was given; null where the sweep trained it"
    )
    limit: Count | None = Field(None, description="size of the training part where it was limited")
    forget_kind: Text | None = Field(None, description="kind of forget set; null in rows of earlier versions: random")
    forget_title: Text | None = Field(
        None, description="the forget set as people write it; null in rows of earlier versions"
    )
    forget_remarks: Text | None = Field(None, description="what captions must say of the forget set")
    forget_ratio: Share = Field(description="forget set / training part without validation")
    n_retain: Count = Field(description="size of D_R")
    n_forget: Count = Field(description="size of D_F")
    n_val: Count = Field(description="size of D_V")
    n_test: Count = Field(description="size of D_T")
    n_unseen_test: Count | None = Field(
        None, description="samples of D_T that are like the forgotten ones, which the attack looks at; null: all"
    )
    sequence: Id | None = Field(
        None, description="what the rounds of one sequence of requests have in common; null without rounds"
    )
    round: Positive | None = Field(None, description="number of the request unlearned last; null without rounds")
    rounds: Positive | None = Field(None, description="requests of the whole sequence; null without rounds")
    requested: Positive | None = Field(None, description="samples of this round's request; null without rounds")
    forgotten: Positive | None = Field(
        None, description="samples of all requests so far, which are D_F; null without rounds"
    )
    classes: Count = Field(description="number of classes")
    precision: Text = Field(description="arithmetic of training and unlearning: fp32 or bf16")
    usable: bool = Field(
        description="finite weights and logits, TA above 1.1 x share of the commonest test class, both on classes that "
        "are not forgotten whole"
    )
    reason: Text | None = Field(
        None, description="why the model is not usable, RetDev is not defined or the attack is n/a"
    )
    machine: Text = Field(description="processor of the machine")
    device: Text = Field(description="processor or accelerator")
    threads: Count = Field(description="CPU threads")
    commit: Text | None = Field(None, description="git commit of the program; null for an installed package")
    torch: Text = Field(description="version of torch")
    date: Date = Field(description="when the model was made, ISO 8601")
    metrics_key: Text = Field(description="key of the stored metrics")
    metrics_version: Count | None = Field(None, description="version of the scores; null: 1, before it was recorded")


def _row_type() -> type[Labels]:
    """A row: the labels and the columns of the measures that are scored together."""
    scores: dict[str, Any] = {column.name: (column.annotation | None, None) for column in BUILT_IN.columns}
    return create_model("Row", __base__=Labels, **scores)


Row = _row_type()
NAMES = tuple(Row.model_fields)
MEANINGS = {
    **{name: str(one.description) for name, one in Labels.model_fields.items()},
    **{column.name: column.meaning for column in BUILT_IN.columns},
}
_PANDAS = {str: ("string", "string"), int: ("int64", "Int64"), float: ("float64", "float64"), bool: ("bool", "boolean")}


def _dtype(annotation: Any) -> str:
    """How pandas holds a field of this type."""
    given = get_args(annotation)
    own = [kind for kind in given if kind is not NoneType] if NoneType in given else [annotation]
    plain = own[0] if own[0] in _PANDAS else get_args(own[0])[0]
    return _PANDAS[plain][NoneType in given]


DTYPES = {name: _dtype(field.annotation) for name, field in Row.model_fields.items()}
NULLABLE = tuple(name for name, field in Row.model_fields.items() if not field.is_required())


def check_row(row: Mapping[str, Any]) -> None:
    """Raises ValueError for a row that could not be read again, or has other fields than rows have."""
    try:
        Row.model_validate_json(json.dumps(dict(row), allow_nan=False))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise ValueError(f"field {name!r} of a row is {row.get(name)!r}: {first['msg']}") from None
    if other := set(row) ^ set(NAMES):
        raise ValueError(f"a row has other fields than rows have: {', '.join(sorted(other))} too many or missing")


def with_added(measures: Iterable[Measure]) -> Catalogue:
    """The measures that are scored together, and these. Raises ConfigError where a column's name is taken."""
    catalogue = Catalogue((*BUILT_IN.measures, *measures))
    taken = [column.name for column in catalogue.columns if column.name in Labels.model_fields]
    if taken:
        raise taken_twice(taken, [measure.name for measure in catalogue.measures])
    return catalogue
