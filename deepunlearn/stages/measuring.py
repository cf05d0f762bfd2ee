"""Further measures of the models of a cell, each with an entry of its own: of what is stored, whenever it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.cells import REFERENCES, references_of
from deepunlearn.core.errors import MeasureFailed, NotApplicable, StoreError
from deepunlearn.core.forget import Role
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.core.keys import GroupKey, MeasureKey, ReferenceKey, UnlearnedKey
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig, SweepConfig
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.core.store import Batch, Entry, Place
from deepunlearn.data.loader import Part
from deepunlearn.metrics import scikit
from deepunlearn.metrics.added import Group, Outputs, ReadWhenAsked, computed
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.remembered import read_only
from deepunlearn.runtime import Runtime
from deepunlearn.stages.references import Logits
from deepunlearn.stages.unlearning import ENSEMBLE, Call, UnlearningStage
from deepunlearn.training import load_weights, step_once

Array = npt.NDArray[np.generic]
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class Subject:
    """A stored model that is measured; run: the unlearning run that made it, None of a reference."""

    key: UnlearnedKey | ReferenceKey
    entry: Entry
    method: str
    seed: int
    run: tuple[MethodConfig, dict[str, Value]] | None = None


class MeasuringStage(UnlearningStage):
    """Measures the models of a cell."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        self.reference_outputs = lru_cache(maxsize=len(REFERENCES))(self._reference_outputs)  # all models of a seed
        self.retrained_models = lru_cache(maxsize=1)(self._retrained_models)  # all methods

    def measure_reference(self, role: Role, seed: int, measures: Iterable[Measure]) -> None:
        """Compute the measures of an original or retrained model that are missing. Raises MeasureFailed."""
        self._measure(Subject(self.keys.reference(role, seed), self.reference(role, seed), role, seed), measures)

    def measure(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> None:
        """The same of an unlearned model of a report seed."""
        drawn = self.keys.report_draw(sweep, method, seed)
        key = self.keys.unlearned(method, params, seed, drawn, self.earlier_key(sweep, method, seed))
        entry = self._stored(key, self.keys.place(method.name, seed))
        self._measure(Subject(key, entry, method.name, seed, (method, params)), sweep.measures)

    def measure_group(
        self, method: str, subjects: Sequence[UnlearnedKey], seeds: Sequence[int], measures: Iterable[Measure]
    ) -> None:
        """The same of all models of a method together, one of each seed."""
        wanted = [(one, self.keys.group(subjects, seeds, one)) for one in measures]
        keys = zip(subjects, seeds, strict=True)
        unlearned = ReadWhenAsked([partial(self._outputs_at, key, method, seed) for key, seed in keys])

        def given(measure: Measure) -> Group:
            drawn, retrained = self.drawn(measure.name, seeds[0]), self.retrained_models(tuple(seeds))
            return Group(self.known_labels, drawn, unlearned, retrained)

        self._compute(wanted, self.keys.place(method), given)

    def _retrained_models(self, seeds: tuple[int, ...]) -> ReadWhenAsked:
        """What measures over seeds see of the retrained models."""
        return ReadWhenAsked([partial(self._reference_outputs, "retrained", seed) for seed in seeds])

    def _outputs_at(self, key: UnlearnedKey, method: str, seed: int) -> Logits:
        """What they see of the logits of an unlearned model."""
        return self.counted.with_attacked(self._stored(key, self.keys.place(method, seed)).arrays("logits.npz"))

    def _measure(self, subject: Subject, wanted: Iterable[Measure]) -> None:
        given = Given(self, subject)
        alone = (measure for measure in wanted if measure.over == "models")
        keys = [(measure, self.keys.measure(subject.key, subject.seed, measure)) for measure in alone]
        self._compute(keys, self.keys.place(subject.method, subject.seed), given.outputs)

    def _compute(
        self,
        wanted: Iterable[tuple[Measure, MeasureKey | GroupKey]],
        place: Place,
        outputs: Callable[[Measure], Outputs | Group],
    ) -> None:
        """Raises MeasureFailed for what cannot be computed, when all else is stored."""
        failed, batch = dict[str, Exception](), Batch(self.store)
        try:
            for measure, key in wanted:
                if self.store.find(key, place) is not None:
                    continue
                if takes_long(measure):
                    batch.publish()  # what is known already does not wait for it
                try:
                    values, facts = self._values_of(measure, outputs)
                except Exception as error:
                    if _of_the_machine(error):
                        raise
                    failed[measure.label] = error
                    continue
                with batch.writing(key, place, facts) as draft:
                    draft.write_json("values.json", {"description": measure.description, "values": values})
        finally:
            batch.publish()
        if failed:
            raise _measures_failed(failed)

    def _values_of(
        self, measure: Measure, outputs: Callable[[Measure], Outputs | Group]
    ) -> tuple[dict[str, float | bool | None], dict[str, Any]]:
        """The values of a measure, and how they were made."""
        clock = self.runtime.clock()
        clock.start()
        values = computed(measure, outputs(measure))
        clock.stop()
        return values, self._facts(seconds=clock.seconds, **_noted(measure))

    @cached_property
    def labels(self) -> dict[str, npt.NDArray[np.int64]]:
        """By part those that `split_data` has: measures of outputs need no images, which take seconds."""
        split, decoded = self.split, self.decoded
        train = split.labels_in_training(decoded.train_labels)
        test = train if split.test_of_train else decoded.test_labels
        own = {name: train[getattr(split, name)] for name in ("retain", "forget", "val", "train")}
        return {**own, "test": test[split.test]}

    @cached_property
    def counted(self) -> Counted:
        return Counted.of(self.split)

    @cached_property
    def known_labels(self) -> Mapping[str, npt.NDArray[Any]]:
        """What measures see of labels: those of parts, and those that an attack looks at."""
        return read_only(self.counted.with_attacked_labels(self.labels))

    def _reference_outputs(self, role: Role, seed: int) -> Mapping[str, npt.NDArray[np.float32]]:
        """What measures see of the logits of a reference."""
        return read_only(self.counted.with_attacked(self.logits(role, seed)))

    def logits_of(self, subject: UnlearnedKey | ReferenceKey, entry: Entry, seed: int) -> Logits:
        """A stored model's logits on the parts of this cell."""
        return self.logits(subject.role, seed) if isinstance(subject, ReferenceKey) else entry.arrays("logits.npz")

    def drawn(self, what: str, seed: int) -> int:
        """What a measure draws by: the same for all models of a seed."""
        return derive_seed32(what, self.keys.randomness_of(seed))

    def random_model(self, seed: int) -> nn.Module:
        """A newly initialised network, whose weights depend on `seed` only."""
        classes = len(self.decoded.class_names)
        return self.runtime.to_device(archs.build(self.cell.arch, classes, self.decoded.inputs, seed))

    def unlearned_again(self, subject: Subject) -> nn.Module:
        """The network of a model whose weights were not kept. Raises NotApplicable where it comes out differently."""
        assert subject.run is not None and isinstance(subject.key, UnlearnedKey)
        model, _ = self.unlearn(*subject.run, subject.seed, drawn=subject.key.drawn, earlier=subject.key.earlier)
        stored = subject.entry.arrays("logits.npz")
        again = self.predict(model, self.split_data(subject.seed))
        apart = max(float(np.abs(again[part] - stored[part]).max(initial=0.0)) for part in stored)
        if apart > 0:
            raise NotApplicable(
                "the weights of this model were not kept, and unlearning again gives another one here",
                given=f"{subject.entry.path.name}: logits that differ by up to {apart:.2g}",
                allowed="the machine, threads and version of torch that made it, or a sweep with keep=weights",
                remedy="move its folder out of the store and run its sweep with keep=weights, or leave the measure out",
            )
        return model


class Given:
    """What the measures of one model may look at, each read once however many ask."""

    def __init__(self, stage: MeasuringStage, subject: Subject) -> None:
        self.stage, self.subject, self.counted = stage, subject, stage.counted

    def outputs(self, measure: Measure) -> Outputs:
        """What `measure` needs, and nothing else."""
        given: dict[str, Any] = {}
        if "logits" in measure.needs:
            given.update(self._logits)
        if "weights" in measure.needs:
            given["weights"] = self._weights
        if "models" in measure.needs:
            given["models"] = StoredModels(self.stage, self, measure.name)
        if "training" in measure.needs:
            given["seconds"] = self._seconds
        if "call" in measure.needs:
            given["call"] = RepeatedCall(self.stage, self.subject)
        return Outputs(
            labels=self.stage.known_labels,
            seed=self.stage.drawn(measure.name, self.subject.seed),
            forgotten_classes=self.counted.forgotten_classes,
            **given,
        )

    @cached_property
    def _logits(self) -> dict[str, Mapping[str, Array]]:
        stage, subject = self.stage, self.subject
        references = {str(role): stage.reference_outputs(role, subject.seed) for role in references_of(stage.cell)}
        own = stage.logits_of(subject.key, subject.entry, subject.seed)
        return {"logits": read_only(self.counted.with_attacked(own)), **references}

    @cached_property
    def _weights(self) -> Mapping[str, Mapping[str, Array]]:
        roles = references_of(self.stage.cell)
        entries = {str(role): self.stage.reference(role, self.subject.seed) for role in roles}
        return {name: read_only(_weights(one)) for name, one in {"model": self.subject.entry, **entries}.items()}

    @property
    def _seconds(self) -> dict[str, float | None]:
        """Of making the model, and of retraining beside it. The original has not been unlearned."""
        subject, own = self.subject, self.subject.entry.meta["seconds"]
        if isinstance(subject.key, ReferenceKey):
            known = own if subject.key.role == "retrained" else None
            return {"model": known, "retrained": known}
        assert subject.run is not None
        retrained = self.stage.retrain_seconds(self.stage.timed_step(subject.entry), *subject.run, subject.seed)
        return {"model": own, "retrained": retrained}

    @cached_property
    def again(self) -> Mapping[str, Any]:
        """The state of a model whose weights were not kept, unlearned once more."""
        return self.stage.unlearned_again(self.subject).state_dict()


class StoredModels:
    """`metrics.added.Models` of a stored model."""

    def __init__(self, stage: MeasuringStage, given: Given, measure: str) -> None:
        self._stage, self._given, self._measure = stage, given, measure

    @property
    def runtime(self) -> Runtime:
        return self._stage.runtime

    @property
    def progress(self) -> Progress:
        return self._stage.progress

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        data = self._stage.split_data(self._given.subject.seed)
        like = data.counted.attacked("test", np.arange(len(data.parts["test"])))
        labels = torch.from_numpy(data.counted.attacked_labels("test", data.labels["test"]))
        return MappingProxyType({**data.parts, "unseen_test": data.parts["test"].subset(like).with_labels(labels)})

    def unlearned(self) -> nn.Module:
        subject = self._given.subject
        if isinstance(subject.key, ReferenceKey):
            return self._reference(subject.key.role)
        if subject.run is not None and subject.run[0].needs == "shards":
            return self._ensemble(*subject.run)
        model = self._stage.fresh_model(subject.seed)
        if WEIGHTS in subject.entry.meta["files"]:
            load_weights(subject.entry.file(WEIGHTS), model)
        else:
            model.load_state_dict(self._given.again)
        return model.eval()

    def _ensemble(self, method: MethodConfig, params: dict[str, Value]) -> nn.Module:
        subject = self._given.subject
        model = self._stage.empty_ensemble(self._stage.keys.record(method, params, subject.seed))
        if ENSEMBLE in subject.entry.meta["files"]:
            load_weights(subject.entry.file(ENSEMBLE), model)
        else:
            model.load_state_dict(self._given.again)
        return model.eval()

    def original(self) -> nn.Module:
        return self._reference("original")

    def retrained(self) -> nn.Module:
        return self._reference("retrained")

    def _reference(self, role: Role) -> nn.Module:
        return self._stage.load(role, self._given.subject.seed).eval()

    def random(self) -> nn.Module:
        return self._stage.random_model(self._stage.drawn(self._measure, self._given.subject.seed)).eval()

    def anatomy(self, model: nn.Module) -> Anatomy:
        return archs.anatomy_of(self._stage.cell.arch, model)


class RepeatedCall:
    """`metrics.added.Call` of a stored model."""

    def __init__(self, stage: MeasuringStage, subject: Subject) -> None:
        assert subject.run is not None and isinstance(subject.key, UnlearnedKey)
        self._stage, self._seed, self._run, self._key = stage, subject.seed, subject.run, subject.key

    def unlearn(self, around: AbstractContextManager[Any]) -> None:
        call = self._ready
        with around:
            call()

    @cached_property
    def _ready(self) -> Call:
        """The call, with graphs where networks are compiled: building them is no part of it, as under the clock."""
        call = self._stage.ready(*self._run, self._seed, self._key.drawn, self._key.earlier)
        self._stage.build_graphs(*self._run, self._key, self._seed)
        return call

    def retrain_step(self, around: AbstractContextManager[Any]) -> int:
        stage = self._stage
        retain = stage.split_data(self._seed).parts["retain"]
        return step_once(stage.fresh_model(self._seed), retain, stage.cell.train, stage.runtime, around)

    @property
    def retrain_samples(self) -> int:
        return len(self._stage.split_data(self._seed).parts["retain"]) * self._stage.cell.train.epochs

    @property
    def alike(self) -> str:
        method, params = self._run
        sizes = dict(self._stage.keys.sizes_of_run(self._seed))
        run = [self._stage.keys.cell_key.hash, method.name, method.version, method.code, params, sizes]
        return canonical_json(run)

    @property
    def runtime(self) -> Runtime:
        return self._stage.runtime


def _noted(measure: Measure) -> dict[str, str]:
    """What values depend on beside model, version and code: scikit-learn's metrics may change with it."""
    return {"scikit_learn": scikit.version()} if measure.function == "scikit" else {}


def takes_long(measure: Measure) -> bool:
    """Whether it may take more than a moment for each model."""
    return measure.slow or measure.over == "seeds" or not {"models", "call"}.isdisjoint(measure.needs)


def _weights(entry: Entry) -> dict[str, Array]:
    """The tensors of a stored model by name. Raises NotApplicable where they were not kept."""
    if WEIGHTS not in entry.meta["files"]:
        raise NotApplicable(
            "the weights of this model were not kept",
            given=f"{entry.path.name}: {', '.join(sorted(entry.meta['files']))}",
            allowed="models of a sweep with keep=weights",
            remedy="move its folder out of the store to have it unlearned again, or leave the measure out (measures=)",
        )
    stored: dict[str, Array] = load_file(entry.file(WEIGHTS))
    return stored


def _of_the_machine(error: Exception) -> bool:
    """Whether a measure could not help it: the machine ran out of something, or what is stored is damaged."""
    rule = infrastructure(error)
    return isinstance(error, StoreError) or (rule is not None and rule.scarce)


def _measures_failed(failed: Mapping[str, Exception]) -> MeasureFailed:
    """One error of all, with what each had to say."""
    errors = list(failed.values())
    result = MeasureFailed("\n".join(f"measure {name}: {type(one).__name__}: {one}" for name, one in failed.items()))
    result.__cause__ = errors[0] if len(errors) == 1 else ExceptionGroup("measures", errors)
    return result
