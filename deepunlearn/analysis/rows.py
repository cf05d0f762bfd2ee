"""The rows: one per evaluated model, originals and retrained models included, and what each field means.

`COLUMNS` is the one definition of a row; reading, validation and documentation use it. Each row lies in the store as
`row.json`; `collect` gathers them into a table.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import pandas as pd
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, create_model

from deepunlearn.core.errors import StoreError
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT

REFERENCES = ("original", "retrained")  # `method` of the rows that methods are read against
MODEL = ["cell", "result_set", "method", "seed"]  # identifies a model among the rows
T = TypeVar("T")


class Column(NamedTuple):
    """A field of a row. dtype: one of `KINDS`, with a trailing ? where null is allowed."""

    name: str
    dtype: str
    unit: str
    meaning: str

    @property
    def nullable(self) -> bool:
        return self.dtype.endswith("?")

    @property
    def kind(self) -> Kind:
        return KINDS[self.dtype.removesuffix("?")]

    @property
    def pandas(self) -> str:
        return self.kind.pandas_nullable if self.nullable else self.kind.pandas


class Kind(NamedTuple):
    """How a dtype is checked in JSON (pydantic) and held in the table (pandas)."""

    accepts: Any
    pandas: str
    pandas_nullable: str


def _checked(check: Callable[[str], object]) -> Any:
    """A string type that `check` must take without a ValueError."""

    def validate(text: str) -> str:
        check(text)
        return text

    return Annotated[str, AfterValidator(validate)]


KINDS = {
    "id": Kind(Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")], "string", "string"),
    "str": Kind(Annotated[str, StringConstraints(min_length=1)], "string", "string"),
    "json": Kind(_checked(TypeAdapter(dict[str, Any]).validate_json), "string", "string"),
    "date": Kind(_checked(datetime.datetime.fromisoformat), "string", "string"),
    "int": Kind(Annotated[int, Field(ge=0)], "int64", "Int64"),
    "float": Kind(Annotated[float, Field(ge=0, allow_inf_nan=False)], "float64", "float64"),
    "share": Kind(Annotated[float, Field(ge=0, le=1)], "float64", "float64"),
    "bool": Kind(bool, "bool", "boolean"),
}

COLUMNS = (
    Column("cell", "id", "", "split, architecture, recipe and precision: what all models of one cell share"),
    Column("result_set", "id?", "", "cell, protocol and how hyper-parameters were chosen; null for references"),
    Column("dataset", "str", "", "name of the dataset"),
    Column("dataset_title", "str", "", "the dataset as people write it"),
    Column("arch", "str", "", "name of the architecture"),
    Column("arch_title", "str", "", "the architecture as people write it"),
    Column("protocol", "str?", "", "which seeds are searched on; null for references"),
    Column("search", "str?", "", "the search, or where hyper-parameters came from without one; null for references"),
    Column("space", "str?", "", "search ranges: paper or ours; null without a search"),
    Column("selection", "str?", "", "how the best trial was chosen; null without a search"),
    Column("trials", "int?", "trials", "finished trials that the choice rests on; null without a search"),
    Column("method", "str", "", "unlearning method, or original / retrained"),
    Column("method_title", "str", "", "the method as people write it"),
    Column("method_version", "int?", "", "version of the method's mathematics; null for references"),
    Column("seed", "int", "", "model seed"),
    Column("params", "json?", "", "hyper-parameters as a JSON object; null for references"),
    Column("notes", "json?", "", "what the method recorded of its run, e.g. rewound_to, as a JSON object"),
    Column("train_epochs", "int", "epochs", "of originals and retrains"),
    Column("train_batch_size", "int", "samples", "of originals and retrains"),
    Column("train_lr", "float", "", "initial learning rate of originals and retrains"),
    Column("limit", "int?", "samples", "size of the training part where it was limited"),
    Column("forget_ratio", "share", "", "forget set / training part without validation"),
    Column("n_retain", "int", "samples", "size of D_R"),
    Column("n_forget", "int", "samples", "size of D_F"),
    Column("n_val", "int", "samples", "size of D_V"),
    Column("n_test", "int", "samples", "size of D_T"),
    Column("classes", "int", "classes", "number of classes"),
    Column("precision", "str", "", "arithmetic of training and unlearning: fp32 or bf16"),
    Column("RA", "share?", "", "accuracy on D_R; this and all scores below are null where logits are not finite"),
    Column("FA", "share?", "", "accuracy on D_F"),
    Column("VA", "share?", "", "accuracy on D_V"),
    Column("TA", "share?", "", "accuracy on D_T"),
    Column("RR", "float?", "", "RA / RA of the retrained model, ideal 1; null where the latter is 0 (so FR, TR)"),
    Column("FR", "float?", "", "FA / FA of the retrained model"),
    Column("TR", "float?", "", "TA / TA of the retrained model"),
    Column("RetDev", "float?", "", "|RR - 1| + |FR - 1| + |TR - 1|, best 0"),
    Column("MIA", "share?", "", "accuracy of the loss attack on D_F against D_T, chance 0.5"),
    Column("Disc", "share?", "", "|2 MIA - 1|"),
    Column("Indisc", "share?", "", "1 - Disc, best 1"),
    Column("MIA_val", "share?", "", "accuracy of the loss attack on D_F against D_V"),
    Column("Disc_val", "share?", "", "|2 MIA_val - 1|"),
    Column("MIA_AUC", "share?", "", "share of pairs (D_F, D_T) in which the first sample has the lower loss"),
    Column("MIA_AUC_val", "share?", "", "the same for D_F and D_V"),
    Column("MIA_understated", "bool?", "", "one threshold on the losses tells D_F from D_T far better than MIA says"),
    Column("seconds", "float", "s", "wall time of the unlearning call; of the training for references"),
    Column("retrain_seconds", "float?", "s", "retrain steps timed in the same process x steps of the recipe"),
    Column("RTE", "float?", "", "retrain_seconds / seconds, higher is faster; null where not comparable"),
    Column("moved", "float?", "", "L2 distance of the weights to the original / L2 norm of the original"),
    Column("moved_buffers", "float?", "", "the same of running statistics and other buffers; null without any"),
    Column("L2_original", "float?", "", "L2 distance of the weights to the original"),
    Column("L2_retrained", "float?", "", "L2 distance of the weights to the retrained model; null without weights"),
    Column("L2_original_rel", "float?", "", "L2_original / L2 norm of the original"),
    Column("L2_retrained_rel", "float?", "", "L2_retrained / L2 norm of the retrained model"),
    Column("usable", "bool", "", "finite weights and logits, TA above 1.1 x share of the commonest test class"),
    Column("reason", "str?", "", "why the model is not usable or RetDev is not defined"),
    Column("machine", "str", "", "processor of the machine"),
    Column("device", "str", "", "processor or accelerator"),
    Column("threads", "int", "", "CPU threads"),
    Column("commit", "str?", "", "git commit of the program; null for an installed package"),
    Column("torch", "str", "", "version of torch"),
    Column("date", "date", "", "when the model was made, ISO 8601"),
    Column("metrics_key", "str", "", "key of the stored metrics"),
    Column("metrics_version", "int?", "", "version of the scores; null: 1, before it was recorded"),
)
NAMES = tuple(column.name for column in COLUMNS)


def _row_type() -> TypeAdapter[Any]:
    """Rows of other versions can be read: a field that may be null may be missing, and unknown ones are passed over."""
    fields: dict[str, Any] = {
        column.name: (column.kind.accepts | None, None) if column.nullable else column.kind.accepts
        for column in COLUMNS
    }
    strict = ConfigDict(extra="ignore", strict=True, protected_namespaces=())
    return TypeAdapter(create_model("Row", __config__=strict, **fields))


_ROW = _row_type()


def collect(results: Path) -> pd.DataFrame:
    """All rows below `results`, one line each, columns and dtypes as in `COLUMNS`, sorted by `MODEL`, then date.

    Raises StoreError naming the file for a row with an impossible field, or without one that every row has.
    """
    folder = Results(results).store
    files = sorted(path for path in folder.glob("*/*/rows/**/row.json") if DRAFT not in str(path.relative_to(folder)))
    frame = pd.DataFrame([_read_row(path) for path in files], columns=list(NAMES))
    return frame.astype({column.name: column.pandas for column in COLUMNS}).sort_values(
        [*MODEL, "date"], ignore_index=True
    )


def current(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that count, with an empty `result_set` for references: at most one for each `MODEL`.

    A method whose version, hyper-parameters or scores' version changed within a result set counts with those of its
    latest row only, on all seeds, so that no mean mixes them; of a model evaluated twice the later row counts. Newer
    scores are later, whenever the model was made.
    """
    rows = frame.assign(result_set=frame["result_set"].fillna(""), scored_by=scored_by(frame))
    rows = rows.sort_values(["scored_by", "date"], kind="stable")
    versions = [rows[name].astype("string").fillna("") for name in ("scored_by", "method_version", "params")]
    variant = versions[0] + " " + versions[1] + " " + versions[2]
    newest = variant.groupby([rows[name] for name in MODEL[:3]]).transform("last")
    kept = rows[variant == newest].drop(columns="scored_by")
    return kept.drop_duplicates(MODEL, keep="last").sort_values(MODEL, ignore_index=True)


def scored_by(frame: pd.DataFrame) -> pd.Series[int]:
    """The version of the scores of each row."""
    return frame["metrics_version"].fillna(1).astype("int64")


def read_json(path: Path, adapter: TypeAdapter[T]) -> T:
    """The checked content of a file. Raises StoreError naming the file and the first wrong field."""
    try:
        return adapter.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"{path} cannot be used" + (f": field {name!r}" if name else ""),
            given="nothing" if first["type"] == "missing" else repr(first["input"])[:200],
            allowed=_allowed(name, first["msg"]),
            remedy="move its folder out of the results and run the sweep again, which makes what is missing",
        ) from None


def _allowed(name: str, message: str) -> str:
    column = next((column for column in COLUMNS if column.name == name), None)
    return message if column is None else f"{message} ({column.dtype}: {column.meaning})"


def _read_row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = vars(read_json(path, _ROW))
    if (row["result_set"] is None) != (row["method"] in REFERENCES):
        raise StoreError(
            f"{path} cannot be used: field 'result_set'",
            given=f"{row['result_set']!r} for method {row['method']!r}",
            allowed=f"null for {' and '.join(REFERENCES)}, an id for every method",
            remedy="move its folder out of the results and run the sweep again, which makes what is missing",
        )
    return row
