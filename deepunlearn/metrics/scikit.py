"""Any metric of scikit-learn by name: `sklearn.f1_score(average=macro, part=forget)`, read, checked and computed.

Every command line is read with this, so that scikit-learn and SciPy are imported only where a metric is named.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import Parameter, isfunction, signature
from math import isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError, NotApplicable, unknown
from deepunlearn.core.measure_config import Column, Measure

PREFIX = "sklearn."
CALL = re.compile(r"""('[^']*'|"[^"]*")|(sklearn\.\w+\([^()]*\))""")  # or what is in quotes already
PARTS = {"retain": "D_R", "forget": "D_F", "val": "D_V", "test": "D_T"}
MODELS = ("unlearned", "original", "retrained")
OURS: dict[str, Any] = {"model": "unlearned", "part": "test"}  # arguments that are not scikit-learn's, and defaults

NO_NUMBER = (
    "class_likelihood_ratios", "classification_report", "confusion_matrix", "confusion_matrix_at_thresholds",
    "metric_at_thresholds", "multilabel_confusion_matrix", "precision_recall_fscore_support",
)  # fmt: skip
NOT_OF_CLASSES = (  # they take one number for each sample, or divide by the truth, which is 0 for most classes
    "d2_tweedie_score", "max_error", "mean_absolute_percentage_error", "mean_gamma_deviance", "mean_poisson_deviance",
    "mean_tweedie_deviance",
)  # fmt: skip
OF_SHARES = (
    "average_precision_score", "brier_score_loss", "d2_brier_score", "d2_log_loss_score", "log_loss", "roc_auc_score",
    "top_k_accuracy_score",
)  # fmt: skip
OF_SECOND_CLASS = ("average_precision_score", "roc_auc_score", "top_k_accuracy_score")  # of two, they take one's share
OF_ONE_HOT = (
    "coverage_error", "dcg_score", "label_ranking_average_precision_score", "label_ranking_loss", "ndcg_score",
)  # fmt: skip
OF_DECISIONS = ("hinge_loss",)
TRIED = (2, 10, 200)  # numbers of classes: what works for none of them is refused
WORDS = {"true": True, "false": False, "null": None, "none": None, "nan": nan}

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Value = None | bool | int | float | str | tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """A metric with its arguments, those left out that have their default."""

    metric: str
    arguments: tuple[tuple[str, Value], ...]  # by name, in order; scikit-learn's
    part: str
    model: str

    @property
    def text(self) -> str:
        """The one way of writing it: what identifies its values."""
        own = [(name, value) for name, value in (("model", self.model), ("part", self.part)) if value != OURS[name]]
        inside = ", ".join(f"{name}={_written(value)}" for name, value in sorted((*self.arguments, *own)))
        return f"{PREFIX}{self.metric}({inside})"

    @property
    def column(self) -> str:
        """The name of its column: letters, digits and underscores."""
        own = [self.part, *([] if self.model == "unlearned" else [self.model])]
        words = [self.metric, *(f"{name}_{_written(value)}" for name, value in self.arguments), *own]
        return re.sub(r"\W+", "_", "_".join(words).replace("-", "minus")).strip("_")

    def of(self, labels: Integers, logits: Floats) -> float | None:
        """The value of a model with these logits [N, K] and labels [N]; None where it is not a finite number.

        Raises what scikit-learn raises.
        """
        function = available()[self.metric]
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in self.arguments}
        if self.metric in (*OF_SHARES, *OF_DECISIONS) and "labels" in signature(function).parameters:
            given["labels"] = list(range(logits.shape[1]))  # also those that no sample here has
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # undefined for some class: scikit-learn's value stands
            value = float(function(*_sides(self.metric, labels, logits), **given))
        return value if isfinite(value) else None


def read(text: str) -> Call:
    """What `sklearn.NAME(argument=value, ...)` says. Raises ConfigError for what does not exist."""
    metric, given = _parsed(text)
    if metric not in available():
        raise unknown("metric of scikit-learn", metric, available())
    defaults = settable(metric)
    for name in given:
        if name not in {**defaults, **OURS}:
            raise _no_argument(text, name, defaults)
    part, model = (_ours(text, name, given, known) for name, known in (("part", PARTS), ("model", MODELS)))
    own = {name: value for name, value in given.items() if name not in OURS and not _same(value, defaults[name])}
    return Call(metric, tuple(sorted(own.items())), part, model)


@cache
def as_measure(text: str) -> Measure:
    """The measure of a metric. Raises ConfigError, as `read`, and where scikit-learn refuses the arguments."""
    call = read(text)
    refused = [_tried(call, classes) for classes in TRIED]
    if all(refused):
        raise _refused(call, str(refused[-1]))
    title = f"{call.text.removeprefix(PREFIX)} on {PARTS[call.part]}"
    column = Column(
        name=call.column,
        low=None,
        better="retrained" if call.model == "unlearned" else "neither",
        meaning=f"scikit-learn's {title} of the {call.model} model",
    )
    return Measure(
        name=call.text,
        version=1,
        title=title,
        source="scikit-learn",
        kind="score",
        needs=("logits",),
        columns=(column,),
        default=False,
        alone=call.model != "retrained",
        cost="nothing, from stored logits",
        limits="what scikit-learn's documentation says of it; against the retrained model it is a comparison like RA",
        undefined="where scikit-learn gives no finite number, e.g. of one class alone",
        function="scikit",
    )


def check_classes(measures: Iterable[Measure], classes: Iterable[int]) -> None:
    """Raises ConfigError for a metric that cannot be computed of so many classes."""
    for measure in (one for one in measures if one.function == "scikit"):
        for count in classes:
            if told := _tried(read(measure.name), count):
                raise _refused(read(measure.name), f"{told} (of {count} classes)")


def computed(
    measure: Measure, labels: Mapping[str, Integers], models: Mapping[str, Mapping[str, Floats]]
) -> dict[str, float | None]:
    """The value by column; labels by part, logits by part of each of `MODELS`. Raises NotApplicable."""
    call = read(measure.name)
    if call.part not in labels:
        raise _unmeasured(call, f"there is no {call.part} part")
    try:
        return {call.column: call.of(labels[call.part], models[call.model][call.part])}
    except (ValueError, TypeError) as error:
        raise _unmeasured(call, _sentence(error)) from error


@cache
def available() -> dict[str, Callable[..., Any]]:
    """The metrics by name: those of labels and what a classifier says, which give one number."""
    library = import_module("sklearn.metrics")
    functions = {name: one for name in sorted(library.__all__) if isfunction(one := getattr(library, name))}
    return {name: one for name, one in functions.items() if _fits(name, one)}


def settable(metric: str) -> dict[str, Any]:
    """scikit-learn's arguments of a metric that can be given, with their defaults (Parameter.empty: must be given)."""
    own = [one for one in signature(available()[metric]).parameters.values() if one.kind is Parameter.KEYWORD_ONLY]
    supplied = ["sample_weight", "y_pred", *(["labels"] if metric in (*OF_SHARES, *OF_DECISIONS) else [])]
    return {one.name: one.default for one in own if one.name not in supplied}


def version() -> str:
    """Which scikit-learn computes; its metrics may change, so that it is noted with the values."""
    return str(import_module("sklearn").__version__)


def quoted(value: str) -> str:
    """The value of measures= with quotes around calls, as Hydra's grammar wants them; those in quotes stay."""
    return CALL.sub(lambda found: found[1] or json.dumps(found[2], ensure_ascii=False), value)


# ------------------------------------------------------------------------------------------------------------- parsing


def _parsed(text: str) -> tuple[str, dict[str, Value]]:
    """Name and arguments. Python's grammar is that of such calls; nothing is evaluated."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        function, keywords = (node.func, node.keywords) if isinstance(node, ast.Call) else (node, [])
        if not isinstance(function, ast.Attribute) or ast.unparse(function.value) != PREFIX.rstrip("."):
            raise ValueError("it is not sklearn.NAME")
        if isinstance(node, ast.Call) and node.args:
            raise ValueError(f"{ast.unparse(node.args[0])} has no name")
        names = [str(one.arg) for one in keywords]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(twice)} is given twice")
        return function.attr, {name: _value(one.value) for name, one in zip(names, keywords, strict=True)}
    except (SyntaxError, ValueError) as error:
        raise ConfigError(
            "cannot read a metric of scikit-learn",
            given=f"{text}: {getattr(error, 'msg', error)}",
            allowed="sklearn.NAME or sklearn.NAME(argument=value, ...) of words, numbers, true, false, null and lists",
            remedy="write e.g. 'measures=[sklearn.f1_score(average=macro, part=forget)]', in the shell's quotes",
        ) from None


def _value(node: ast.expr) -> Value:
    if isinstance(node, ast.Name):
        return WORDS.get(node.id.lower(), node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(one) for one in node.elts)
    value = ast.literal_eval(node)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{ast.unparse(node)} is no word, number or list")


def _written(value: Value) -> str:
    """A value as `_value` reads it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        bare = value.isidentifier() and value.isascii() and value.lower() not in WORDS  # Python reads ª bare as a
        return value if bare else repr(value)
    return "null" if value is None else str(value).lower()  # true, false, nan; a number as Python writes it


def _same(value: Value, default: Any) -> bool:
    default = int(default) if isinstance(default, float) and default.is_integer() else default
    return type(value) is type(default) and bool(value == default)


def _ours(text: str, name: str, given: Mapping[str, Value], known: Iterable[str]) -> str:
    value = given.get(name, OURS[name])
    if value not in known:
        raise unknown(f"{name} of {text}:", str(value), known)
    return str(value)


# ----------------------------------------------------------------------------------------------------------- computing


def _fits(name: str, function: Callable[..., Any]) -> bool:
    first = next(iter(signature(function).parameters), "")
    return first == "y_true" and not name.endswith("_curve") and name not in (*NO_NUMBER, *NOT_OF_CLASSES)


def _sides(metric: str, labels: Integers, logits: Floats) -> tuple[Any, Any]:
    """Truth and answer as a metric takes them; for errors of regression the label as 0 and 1 beside probabilities."""
    two = logits.shape[1] == 2
    if metric in OF_DECISIONS:
        return labels, logits[:, 1] - logits[:, 0] if two else logits
    of_regression = available()[metric].__module__.endswith("_regression")
    if metric not in (*OF_SHARES, *OF_ONE_HOT) and not of_regression:
        return labels, logits.argmax(axis=1)
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    if metric in OF_SHARES:
        return labels, shares[:, 1] if two and metric in OF_SECOND_CLASS else shares
    return np.eye(logits.shape[1])[labels], shares


def _tried(call: Call, classes: int) -> str | None:
    """What scikit-learn says against computing this of made samples of so many classes; None: nothing."""
    labels = np.arange(4 * classes) % classes
    try:
        call.of(labels, np.random.RandomState(0).randn(4 * classes, classes))
    except (ValueError, TypeError) as error:
        return _sentence(error)
    return None


def _sentence(error: Exception) -> str:
    return str(error).splitlines()[0][:300]


# -------------------------------------------------------------------------------------------------------------- errors


def _no_argument(text: str, name: str, defaults: Mapping[str, Any]) -> ConfigError:
    if name in ("labels", "sample_weight"):
        return ConfigError(
            f"the argument {name!r} of a metric of scikit-learn is given by the program",
            given=text,
            allowed=", ".join(sorted({**defaults, **OURS})),
            remedy=f"leave {name} out: all classes and all samples of a part count",
        )
    return unknown(f"argument of {text}:", name, {**defaults, **OURS})


def _refused(call: Call, told: str) -> ConfigError:
    arguments = [f"{name}={_shown(default)}" for name, default in {**settable(call.metric), **OURS}.items()]
    return ConfigError(
        f"scikit-learn does not compute {call.text}",
        given=told,
        allowed=f"arguments, with their defaults: {', '.join(arguments)}",
        remedy="give the argument that it names another value; of more than two classes e.g. average=macro, "
        "multi_class=ovr",
    )


def _shown(default: Any) -> str:
    return "(must be given)" if default is Parameter.empty else _written(default)


def _unmeasured(call: Call, why: str) -> NotApplicable:
    return NotApplicable(
        f"{call.text} cannot be computed of this model",
        given=why,
        allowed="a part whose labels and outputs the metric can take",
        remedy="give another part=, or leave the metric out of measures=",
    )
