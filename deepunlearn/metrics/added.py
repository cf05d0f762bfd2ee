"""Computing a measure that has a file of its own, from a model's stored outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache, partial
from operator import index
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column, Measure
from deepunlearn.core.progress import Progress
from deepunlearn.metrics import scikit
from deepunlearn.metrics.accuracy import Floats, Integers, losses
from deepunlearn.metrics.counted import too_few
from deepunlearn.metrics.remembered import read_only
from deepunlearn.plugin_code import digest, functions, load

Losses = npt.NDArray[np.float64]
KEPT_BYTES = 2**27  # of the logits of a group of models: 20 MB of ten models of CIFAR-10
FALSE_RATE = 0.01  # of an attack's column of hits


class NotAsked(Mapping[str, Any]):
    """Stands where a measure was given nothing, as its YAML does not ask for it."""

    def __init__(self, need: str) -> None:
        self.need = need

    def __getitem__(self, name: str) -> Any:
        raise ConfigError(
            f"a measure looks at {self.need}, which it does not ask for",
            given=f"{name!r} of the {self.need}",
            allowed=f"what the YAML says under needs:, e.g. needs: [{self.need}]",
            remedy=f"add {self.need} to needs:",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copying looks for
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self[self.need])

    def __len__(self) -> int:
        return len(self[self.need])


class Models(Protocol):
    """The networks of one model, of measures that need models.

    Each call gives a fresh one (nn.Module), on the device and in evaluation mode, so that what a measure does to it is
    seen by no other measure. parts: by name the data (data.loader.Part) of retain, forget, val and test, and of
    unseen_test. runtime: where networks run (deepunlearn.runtime.Runtime); progress: shows what takes long.
    """

    @property
    def parts(self) -> Mapping[str, Any]: ...
    @property
    def runtime(self) -> Any: ...
    @property
    def progress(self) -> Progress: ...

    def unlearned(self) -> Any:
        """The model that is measured. Raises NotApplicable where it is not kept and cannot be made again."""

    def original(self) -> Any: ...

    def retrained(self) -> Any: ...

    def random(self) -> Any:
        """A newly initialised one, the same for all models of a seed."""

    def anatomy(self, model: Any) -> Any:
        """Stem, blocks and head of any of these (deepunlearn.archs.anatomy.Anatomy)."""


class Call(Protocol):
    """The unlearning call that has made a model, of measures that need it. A reference has none: it is left out.

    alike: the same for calls that differ in their seed only. retrain_samples: how many samples retraining passes
    through, over all epochs. runtime: where the call runs (deepunlearn.runtime.Runtime).
    """

    @property
    def alike(self) -> str: ...
    @property
    def retrain_samples(self) -> int: ...
    @property
    def runtime(self) -> Any: ...

    def unlearn(self, around: AbstractContextManager[Any]) -> None:
        """Unlearn once more inside `around`, with the same seed and values.

        All that the method is given is in memory before (data, original, an ensemble, the model of the round before),
        and where networks are compiled their graphs are built.
        """

    def retrain_step(self, around: AbstractContextManager[Any]) -> int:
        """One step of retraining inside `around`; how many samples its batch had."""


@dataclass(frozen=True)
class Outputs:
    """What a measure may look at.

    Of a measure that needs logits, by part (retain, forget, val, test; unseen_val and unseen_test: those samples of val
    and test that are like the forgotten ones, which attacks compare these with): logits of the model, [N, K], finite;
    original, retrained: of the references of its seed. Of one that needs weights: weights of `model`, `original` and
    `retrained`, each tensor under its name. Of one that needs models or the call: `models`, `call`. Of one that needs
    training: seconds of the unlearning call (`model`) and of retraining (`retrained`); both None of the original, which
    has not been unlearned, and the latter where it is not known how the original was trained. Of any: labels by part,
    [N]; seed: to draw by, the same for all models of a seed; forgotten_classes: those that are forgotten whole. Arrays
    cannot be written to: other measures look at the same.
    """

    labels: Mapping[str, Integers]
    seed: int
    logits: Mapping[str, Floats] = field(default_factory=partial(NotAsked, "logits"))
    original: Mapping[str, Floats] = field(default_factory=partial(NotAsked, "logits"))
    retrained: Mapping[str, Floats] = field(default_factory=partial(NotAsked, "logits"))
    weights: Mapping[str, Mapping[str, npt.NDArray[Any]]] = field(default_factory=partial(NotAsked, "weights"))
    models: Models = field(default_factory=partial(cast(Any, NotAsked), "models"))
    call: Call = field(default_factory=partial(cast(Any, NotAsked), "call"))
    seconds: Mapping[str, float | None] = field(default_factory=partial(NotAsked, "training"))
    forgotten_classes: tuple[int, ...] = ()


class ReadWhenAsked(Sequence[Mapping[str, Floats]]):
    """Logits by part of several models, each read when it is asked for.

    They are kept, so that nobody can change them, where all of them together are no larger than `KEPT_BYTES`; larger
    ones are read anew each time.
    """

    def __init__(self, reads: Sequence[Callable[[], Mapping[str, Floats]]]) -> None:
        self._reads = reads
        self._kept: dict[int, Mapping[str, Floats]] = {}

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return ReadWhenAsked(self._reads[number])
        number = index(number)  # NumPy's whole numbers, too
        if number in self._kept:
            return self._kept[number]
        logits = self._reads[number]()
        if len(self) * sum(one.nbytes for one in logits.values()) <= KEPT_BYTES:
            logits = self._kept[number] = read_only(logits)
        return logits

    def __len__(self) -> int:
        return len(self._reads)


@dataclass(frozen=True)
class Group:
    """What a measure over seeds may look at: the models of a method, one of each seed, and the retrained ones beside.

    unlearned, retrained: in the same order of seeds, logits [N, K] by part, those of `Outputs`; labels by part, [N];
    seed: to draw by, the same for all methods.
    """

    labels: Mapping[str, Integers]
    seed: int
    unlearned: Sequence[Mapping[str, Floats]]
    retrained: Sequence[Mapping[str, Floats]]


def computed(measure: Measure, outputs: Outputs | Group) -> dict[str, float | bool | None]:
    """The values by column. Raises ConfigError where the code cannot be loaded or gives what its YAML does not say."""
    modules = [] if measure.module is None else [measure.module]
    if digest(modules) != measure.code:
        raise ConfigError(
            f"the code of measure {measure.name!r} was edited after the command began",
            given=", ".join(modules),
            allowed="the code as it was when the command began",
            remedy="run the command again; values of the code as it was are kept",
        )
    values = _VALUES[measure.function](measure, cast(Any, outputs))
    names = [column.name for column in measure.columns]
    if not isinstance(values, dict) or sorted(map(str, values)) != sorted(names):
        raise _unfit(measure.name, repr(values)[:200], f"a dictionary with a value for each of {', '.join(names)}")
    return {column.name: _checked(measure.name, column, values[column.name]) for column in measure.columns}


def _of_scikit(measure: Measure, outputs: Outputs) -> dict[str, float | None]:
    models = {"unlearned": outputs.logits, "original": outputs.original, "retrained": outputs.retrained}
    return scikit.computed(measure, outputs.labels, models)


def _code(measure: Measure) -> Callable[..., Any]:
    """The function that it is computed by."""
    folder = {"measure": "measures", "membership": "attacks"}[measure.function]
    module = load(measure.module or f"deepunlearn.{folder}.{measure.name}")
    return functions(module, [measure.function], f"measure {measure.name!r}")[measure.function]


def membership(attack: Measure, logits: Floats, labels: Integers) -> Floats:
    """The numbers of an attack for samples with these logits [N, K] and labels [N]: [N], higher for likelier members.

    Raises ConfigError where its code gives something else.
    """
    scores = np.asarray(_code(attack)(logits, labels))
    if scores.shape != labels.shape or scores.dtype.kind not in "fiu" or not np.isfinite(scores).all():
        raise ConfigError(
            f"the code of attack {attack.name!r} gives no membership scores",
            given=f"{scores.dtype}, shape {list(scores.shape)}: {scores.ravel()[:3].tolist()}",
            allowed=f"a finite number for each sample, shape [{len(labels)}]",
            remedy="correct its function membership(logits, labels)",
        )
    return scores.astype(np.float64)


def _told_apart(attack: Measure, outputs: Outputs) -> dict[str, float | None]:
    """How well an attack tells D_F from D_T: area under its ROC curve, and its hits where 1 % of D_T is above.

    None where either has too few samples for an attack.
    """
    if too_few(len(outputs.labels["forget"]), len(outputs.labels["unseen_test"]), "test"):
        return {column.name: None for column in attack.columns}
    sides = [membership(attack, outputs.logits[part], outputs.labels[part]) for part in ("forget", "unseen_test")]
    area, hits = (column.name for column in attack.columns)
    return dict(zip((area, hits), told_apart(*sides), strict=True))


def attacked_losses(outputs: Outputs, logits: Mapping[str, Floats]) -> tuple[Losses, Losses] | None:
    """Losses under these logits of D_F, [N], and of the samples of D_T that attacks hold against it, [M].

    None where either has too few for an attack.
    """
    if too_few(len(outputs.labels["forget"]), len(outputs.labels["unseen_test"]), "test"):
        return None
    forgotten, unseen = (losses(logits[part], outputs.labels[part]) for part in ("forget", "unseen_test"))
    return forgotten, unseen


_VALUES: Mapping[str, Callable[[Measure, Outputs], Any]] = {
    "measure": lambda measure, outputs: _code(measure)(outputs),
    "membership": _told_apart,
    "scikit": _of_scikit,
}


def told_apart(forgotten: Floats, unseen: Floats) -> tuple[float, float]:
    """Of numbers that are higher for likelier members, [N] and [M]: area under the ROC curve, and the share of those
    forgotten that is found where 1 % of the unseen ones are above the threshold.
    """
    false, true = _roc_curve(forgotten, unseen)
    return float(np.trapezoid(true, false)), float(true[false <= FALSE_RATE].max())


def _roc_curve(members: Floats, others: Floats) -> tuple[Losses, Losses]:
    """Of others [N] and of members [M] the shares above a threshold, for each one between two values, from 0 to 1.

    scikit-learn's roc_curve(drop_intermediate=False), whose checks take several times as long.
    """
    values = np.concatenate([members, others])
    descending = np.argsort(-values)
    is_member, values = descending < len(members), values[descending]
    cuts = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)  # none between equal values
    counts = np.cumsum(~is_member)[cuts], np.cumsum(is_member)[cuts]
    false, true = (np.append(0.0, count / count[-1]) for count in counts)
    return false, true


def _checked(measure: str, column: Column, value: Any) -> float | bool | None:
    """A value as plain Python's; NumPy's numbers count as numbers."""
    plain = value.item() if hasattr(value, "item") else value
    try:
        checked: float | bool | None = _adapter(column).validate_python(plain)
    except ValueError:
        raise _unfit(f"{measure}: {column.name}", repr(plain)[:200], column.range) from None
    return checked


@cache
def _adapter(column: Column) -> TypeAdapter[Any]:
    """Kept: making one takes longer than most measures of a column do."""
    return TypeAdapter(column.annotation | None, config=ConfigDict(strict=True))


def _unfit(what: str, given: str, allowed: str) -> ConfigError:
    return ConfigError(
        f"the code of a measure gave what its YAML does not say: {what}",
        given=given,
        allowed=allowed,
        remedy="correct the code, or the columns in the YAML",
    )
