"""Unlearned models of a cell: run under the clock, stored with logits, distances and, where kept, weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.composition import make_method
from deepunlearn.core.batches import training_batches
from deepunlearn.core.keys import GivenKey, RecordKey, SearchKey, UnlearnedKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig, SweepConfig
from deepunlearn.core.store import Entry, Place
from deepunlearn.learning import Ensemble, Recorded, Shards
from deepunlearn.running import Run, Setting, execute
from deepunlearn.runtime import Runtime
from deepunlearn.stages.recording import RecordingStage
from deepunlearn.together import Outcome, columns, execute_together, reason_apart
from deepunlearn.training import load_weights, save_weights, seconds_per_step

RECALIBRATE_SECONDS = 600.0  # a machine's speed drifts; older step timings are taken again

BATCH_TIMED = "retrain_batch_size"  # fact beside the seconds of a retrain step, of given originals
ENSEMBLE = "ensemble.safetensors"  # payload in place of the weights of a single network

OnEpoch = Callable[[int, nn.Module], None]
Call = Callable[..., tuple[nn.Module, Run]]  # of an unlearning run, perhaps with what is called at its epochs


class Start(NamedTuple):
    """A model of the round before, and the search that chose its values, if one did."""

    chosen_by: SearchKey | None
    model: UnlearnedKey


class UnlearningStage(RecordingStage):
    """Unlearns from the originals of a cell."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        self._step_seconds: tuple[float, float] | None = None  # (measured at, seconds per retrain step)

    def unlearn(
        self,
        method: MethodConfig,
        params: dict[str, Value],
        seed: int,
        on_epoch: OnEpoch | None = None,
        drawn: str | None = None,
        *,
        earlier: UnlearnedKey | None = None,
    ) -> tuple[nn.Module, Run]:
        """Run a method on the original of `seed`, or on its model of the round before, `earlier`.

        Equal values and equal `drawn` (as in the key) give equal models.
        """
        return self.ready(method, params, seed, drawn, earlier)(on_epoch)

    def ready(
        self,
        method: MethodConfig,
        params: dict[str, Value],
        seed: int,
        drawn: str | None = None,
        earlier: UnlearnedKey | None = None,
    ) -> Call:
        """`unlearn` with all in memory that is there before it: the call does what the method does, and nothing else.

        It may be called again, with the same outcome.
        """
        setting = self._setting(method, params, seed, earlier)
        run_seed = self.keys.run_seed(method, seed, drawn)

        def call(on_epoch: OnEpoch | None = None) -> tuple[nn.Module, Run]:
            self.runtime.graphs_of(method.name)
            return execute(make_method(method, params), setting.problem, self.runtime, run_seed, on_epoch)

        return call

    def unlearn_together(
        self,
        method: MethodConfig,
        many: Sequence[dict[str, Value]],
        seed: int,
        *,
        earlier: UnlearnedKey | None = None,
    ) -> list[Outcome]:
        """What `unlearn` makes of each of `many`, one group of `groups`, but for rounding; where `apart` is None."""
        setting = self._setting(method, many[0], seed, earlier)
        epochs = [method.epochs_of(params) for params in many]
        made = make_method(method, columns(method, many, self.runtime.device))
        return execute_together(made, setting, epochs, self.keys.run_seed(method, seed))

    def apart(
        self, method: MethodConfig, params: dict[str, Value], seed: int, *, earlier: UnlearnedKey | None = None
    ) -> str | None:
        """Why models of `method` are made one by one; None where `unlearn_together` can make them."""
        return reason_apart(method, self._setting(method, params, seed, earlier))

    def _setting(
        self, method: MethodConfig, params: dict[str, Value], seed: int, earlier: UnlearnedKey | None
    ) -> Setting:
        recorded, original = self._learning_phase(method, params, seed, earlier)
        return Setting(
            original=original,
            data=self.parts_of_run(seed),
            classes=len(self.decoded.class_names),
            anatomy=partial(archs.anatomy_of, self.cell.arch),
            fresh=self._another,
            runtime=self.runtime,
            recorded=recorded,
            difficulty=self.difficulty(method, seed),
        )

    def _learning_phase(
        self, method: MethodConfig, params: dict[str, Value], seed: int, earlier: UnlearnedKey | None
    ) -> tuple[Recorded | Shards | None, nn.Module]:
        """What was recorded for `method`, if it needs that, and what it unlearns from: the original, or an ensemble.

        After a first round it is what the method has made of them.
        """
        key = self.keys.record(method, params, seed) if method.records else None
        recorded = None if key is None else self.recorded(key, seed)
        if earlier is not None:
            return recorded, self._made_before(method, earlier, seed)
        if key is not None and key.needs == "shards":
            return recorded, self.ensemble(key, seed)
        return recorded, self.original(self.cell.forget.reference_seed("original", seed))

    def _made_before(self, method: MethodConfig, key: UnlearnedKey, seed: int) -> nn.Module:
        """The model of the round before, fixed and in evaluation mode; made where it is not stored."""
        assert self.before is not None
        entry = self.before.unlearned(method, key.params, seed, "weights", key.drawn, earlier=key.earlier)
        if method.needs == "shards":
            model: nn.Module = self.empty_ensemble(self.keys.record(method, key.params, seed))
            load_weights(entry.file(ENSEMBLE), model)
        else:
            model = self.fresh_model(seed)
            load_weights(entry.file("weights.safetensors"), model)
        return model.requires_grad_(False).eval()

    def earlier_key(self, sweep: SweepConfig, method: MethodConfig, seed: int) -> UnlearnedKey | None:
        """The model of the round before that a method goes on from; None in a first round, and without rounds."""
        if self.before is None:
            return None
        keys, params = self.before.keys, self.before.params(sweep, method)
        drawn = keys.report_draw(sweep, method, seed)
        return keys.unlearned(method, params, seed, drawn, self.before.earlier_key(sweep, method, seed))

    def start(self, sweep: SweepConfig, method: MethodConfig, seed: int) -> Start | None:
        """What the trials of a search begin with after a first round; None where that is the original."""
        model = self.earlier_key(sweep, method, seed)
        return None if model is None else Start(self.keys.chosen_before(sweep, method), model)

    def params(self, sweep: SweepConfig, method: MethodConfig) -> dict[str, Value]:
        """The hyper-parameters of `method` in this cell: given, or what its search has found, which has ended."""
        key = self.keys.chosen_by(sweep, method)
        if isinstance(key, GivenKey):
            return self.keys.given(sweep, method)
        return method.complete(self._stored(key, self.keys.place(method.name)).json("winner.json")["params"])

    def unlearned(
        self,
        method: MethodConfig,
        params: dict[str, Value],
        seed: int,
        keep: str,
        drawn: str | None = None,
        *,
        earlier: UnlearnedKey | None = None,
    ) -> Entry:
        """An unlearned model of a report seed, made where it is not stored."""
        key, place = self.keys.unlearned(method, params, seed, drawn, earlier), self.keys.place(method.name, seed)
        return self.store.find(key, place) or self._store_unlearned(key, place, method, params, keep)

    def _store_unlearned(
        self, key: UnlearnedKey, place: Place, method: MethodConfig, params: dict[str, Value], keep: str
    ) -> Entry:
        """Unlearn under the clock; stored with logits and, where kept, weights."""
        seed = place.seed
        assert seed is not None
        original = self.original(seed)
        step_seconds = self.retrain_step_seconds()  # first, so that it also warms the device up
        if key.earlier is not None:
            self._made_before(method, key.earlier, seed)  # before the clock runs, as all that is trained is
        self.build_graphs(method, params, key, seed)
        self.runtime.watch_memory()
        model, run = self._unlearn_shown(method, params, key, seed)
        facts = self._facts(seconds=run.seconds, retrain_step_seconds=step_seconds, notes=run.notes)
        facts |= {} if self.cell.given is None else {BATCH_TIMED: self._batch_of_recipe}
        logits = self.predict(model, self.split_data(seed))  # after the facts: it has a peak of memory of its own
        if isinstance(model, Ensemble):
            facts["notes"] |= self._scores_before(self.keys.record(method, params, seed), seed)
        with self.store.writing(key, place, facts) as draft:
            draft.write_arrays("logits.npz", **logits)
            ensemble = isinstance(model, Ensemble)  # of which no weight has a place in the original
            draft.write_json("distances.json", {} if ensemble else distances(model, original))
            if keep == "weights":
                save_weights(draft.path / (ENSEMBLE if ensemble else "weights.safetensors"), model)
        self.progress.say(f"{self.cell.name} {method.name} seed {seed}: unlearned in {run.seconds:.1f} s")
        return self._stored(key, place)

    def _scores_before(self, key: RecordKey, seed: int) -> dict[str, float]:
        """Accuracies of the ensemble before it forgot: it is the method's original, beside the single one."""
        data = self.split_data(seed)
        logits = self.predict(self.ensemble(key, seed), data)
        names = {"RA": "retain", "FA": "forget", "VA": "val", "TA": "test"}
        right = {name: logits[part].argmax(1) == data.labels[part] for name, part in names.items()}
        return {f"ensemble_{name}": float(hits.mean()) for name, hits in right.items() if len(hits)}

    def _unlearn_shown(
        self, method: MethodConfig, params: dict[str, Value], key: UnlearnedKey, seed: int
    ) -> tuple[nn.Module, Run]:
        """`unlearn`, with its epochs counted on the screen."""
        with self.progress.bar(f"{self.cell.name} {method.name} seed {seed}: epoch", method.epochs_of(params)) as bar:
            return self.unlearn(method, params, seed, lambda epoch, _: bar.advance(), key.drawn, earlier=key.earlier)

    def build_graphs(self, method: MethodConfig, params: dict[str, Value], key: UnlearnedKey, seed: int) -> None:
        """Run once for nothing where networks are compiled: the run that is timed then finds every graph it needs.

        A graph takes seconds to minutes to build. Which ones a method needs (batch sizes, modes, frozen layers) only
        its run tells. The steps that retraining is timed by are warmed up likewise.
        """
        if self.runtime.config.compile is not None:
            self.runtime.graphs_of("nobody")  # whatever trials and earlier reports have built
            self.unlearn(method, params, seed, drawn=key.drawn, earlier=key.earlier)

    def retrain_step_seconds(self) -> float:
        """Seconds per retrain step in this process (protocol section 5), taken again when older than 10 minutes."""
        if self._step_seconds is None or time.monotonic() - self._step_seconds[0] > RECALIBRATE_SECONDS:
            retain = self._split_data.parts["retain"]
            self.runtime.graphs_of("retrain steps")
            model = self.runtime.compiled(self.fresh_model(0))
            seconds = seconds_per_step(model, retain, self.cell.train, self.runtime)
            self._step_seconds = time.monotonic(), seconds
        return self._step_seconds[1]

    @property
    def _batch_of_recipe(self) -> int | None:
        """Samples per step of retraining; None where it is not known how the original was trained."""
        return self.cell.train.batch_size if self.cell.retrains else None

    def timed_step(self, entry: Entry) -> float | None:
        """Seconds of a retrain step, timed when a model was unlearned.

        None where that was for another recipe, or none: a model of a given original is the same for all recipes.
        """
        known = entry.meta.get(BATCH_TIMED, self._batch_of_recipe)
        same = known is not None and known == self._batch_of_recipe
        return float(entry.meta["retrain_step_seconds"]) if same else None

    def retrain_seconds(
        self, step_seconds: float | None, method: MethodConfig, params: dict[str, Value], seed: int
    ) -> float | None:
        """RT(retrain) = seconds per step x steps of the recipe, or of the ensemble's where a method has one.

        None where the recipe is not known.
        """
        if step_seconds is None:
            return None
        if method.needs == "shards":
            shards = self.shards(self.keys.record(method, params, seed), seed)
            return step_seconds * shards.steps
        steps = len(training_batches(self.sizes(seed)["retain"], self.cell.train.batch_size))  # asks for no images
        return step_seconds * steps * self.cell.train.epochs


def distances(model: nn.Module, original: nn.Module) -> dict[str, Any]:
    """L2 distance of the parameters: absolute, relative to `original`'s norm ("moved"), and per tensor (`layers`).

    moved_buffers: the same of floating-point buffers that are stored with the model, None without any, or of zeros.
    """
    after = dict(model.named_parameters())
    squares = {
        name: float((after[name] - value).detach().double().square().sum())
        for name, value in original.named_parameters()
    }
    total = sum(squares.values()) ** 0.5
    relative = total / sum(float(value.detach().double().square().sum()) for value in original.parameters()) ** 0.5
    return {
        "L2_original": total,
        "L2_original_rel": relative,
        "moved": relative,
        "moved_buffers": _moved_buffers(model, original),
        "layers": {name: value**0.5 for name, value in squares.items()},
    }


def _moved_buffers(model: nn.Module, original: nn.Module) -> float | None:
    weights = dict(original.named_parameters())
    after, before = model.state_dict(), original.state_dict()
    names = [name for name, value in before.items() if name not in weights and value.is_floating_point()]
    if not names:
        return None
    now, then = (torch.cat([state[name].double().flatten() for name in names]) for state in (after, before))
    return float((now - then).norm() / then.norm()) if then.any() else None
