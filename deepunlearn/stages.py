"""The stages split -> reference -> unlearned -> metrics -> row. Each: key, return if stored, compute, store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.cells import CellKeys
from deepunlearn.composition import make_method
from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.core.forget import Role, Split
from deepunlearn.core.keys import GivenKey, ReferenceKey, SearchKey, UnlearnedKey
from deepunlearn.core.method_config import MethodConfig, epochs_of
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig, SweepConfig
from deepunlearn.core.seeding import derive_seed, derive_seed32
from deepunlearn.core.store import Draft, Entry, Place, Store
from deepunlearn.data.decoded import Decoded, load
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.methods.base import Problem, Run, execute, working_copy
from deepunlearn.metrics import VERSION as METRICS_VERSION
from deepunlearn.metrics.accuracy import accuracy
from deepunlearn.metrics.efficiency import rte
from deepunlearn.metrics.histograms import loss_histograms
from deepunlearn.metrics.scores import score
from deepunlearn.runtime import Runtime
from deepunlearn.training import Checkpoint, History, load_weights, predict, save_weights, seconds_per_step, train

PARTS = ("retain", "forget", "val", "test")
SEARCH_PARTS = ("retain", "forget", "val")  # the parts that a search may look at
RECALIBRATE_SECONDS = 600.0  # a machine's speed drifts; older step timings are taken again

Logits = dict[str, npt.NDArray[np.float32]]


class Side:
    """The data as one or more models divide it."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts

    @cached_property
    def labels(self) -> dict[str, npt.NDArray[np.int64]]:
        return {name: part.labels.cpu().numpy() for name, part in self.parts.items()}


class Bench:
    """One cell on one device, ready to compute and store."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        self.cell, self.results, self.runtime, self.progress = cell, results, runtime, progress
        self.store = Store(results.store)
        self._step_seconds: tuple[float, float] | None = None  # (measured at, seconds per retrain step)
        self.original = lru_cache(maxsize=1)(self._load_original)
        self.logits = lru_cache(maxsize=8)(self._load_logits)

    # ------------------------------------------------------------------------------------------------ data and split

    @cached_property
    def decoded(self) -> Decoded:
        return load(self.cell.dataset, self.results.cache, self.progress)

    @cached_property
    def keys(self) -> CellKeys:
        return CellKeys(self.cell, self.decoded.digest, len(self.decoded.class_names), self.sizes)

    @cached_property
    def split(self) -> Split:
        """The split stage: sample numbers of each part."""
        key, place = self.keys.split, self.keys.place()
        entry = self.store.find(key, place)
        if entry is None:
            split = self.keys.make_splits(self.decoded).of(0)
            with self.store.writing(key, place, {}) as draft:
                draft.write_arrays("split.npz", **{part: getattr(split, part) for part in PARTS})
            entry = self.store.find(key, place)
            assert entry is not None
        return Split(**entry.arrays("split.npz"))

    def sizes(self, seed: int) -> dict[str, int]:
        """Samples of each part, of the models of `seed`; here that is the same for all."""
        return self.split.sizes

    def side(self, seed: int) -> Side:
        """The data as the models of `seed` divide it; here that is the same for all."""
        return self._side

    @cached_property
    def _side(self) -> Side:
        return Side(make_parts(self.decoded, self.split, self.cell.dataset, self.runtime.device, self.data_budget))

    @property
    def data_budget(self) -> int:
        """Bytes of images that may lie on the device."""
        return int(self.runtime.config.data_budget_gb * 1e9)

    # ---------------------------------------------------------------------------------------------------- references

    def fresh_model(self, seed: int) -> nn.Module:
        """Initial weights of `seed`: they depend on (architecture, classes, seed) only."""
        classes = len(self.decoded.class_names)
        initial = derive_seed("init", self.cell.arch.name, classes, seed)
        return self.runtime.place(archs.build(self.cell.arch, classes, self.cell.dataset.image_size, initial))

    def _another(self) -> nn.Module:
        """A network drawn from the global random state."""
        classes = len(self.decoded.class_names)
        return self.runtime.place(archs.build(self.cell.arch, classes, self.cell.dataset.image_size))

    def reference(self, role: Role, seed: int) -> Entry:
        """An original or retrained model: weights, logits on all parts, history."""
        seed = self.cell.forget.first_of(role, seed)
        key, place = self.keys.reference(role, seed), self.keys.place(role, seed)
        entry = self.store.find(key, place)
        return entry or self._train_reference(key, place, self.side(seed))

    def _train_reference(self, key: ReferenceKey, place: Place, side: Side) -> Entry:
        self.runtime.graphs_of("references")
        model = self.runtime.compiled(self.fresh_model(key.seed))
        checkpoint = Checkpoint(self.results.work / f"{key.hash}.safetensors", self.runtime.config.checkpoint_seconds)
        part = side.parts["train" if key.role == "original" else "retain"]
        label = f"{self.cell.name} {key.role} seed {place.seed}"
        self.runtime.watch_memory()
        with self.progress.bar(f"{label}: epoch", key.epochs) as bar:

            def show(history: History) -> None:
                bar.advance(len(history.losses) - bar.done, f"loss {history.losses[-1]:.3f}")

            history = train(model, part, self.cell.train, self.runtime, key.hash, checkpoint=checkpoint, on_epoch=show)
        with self._writing_reference(key, place, model, side, self._facts(seconds=history.seconds)) as draft:
            draft.write_json("history.json", history.__dict__)
        checkpoint.path.unlink(missing_ok=True)
        self.progress.say(f"{label}: trained {key.epochs} epochs in {history.seconds:.1f} s")
        return self._stored(key, place)

    @contextmanager
    def _writing_reference(
        self, key: ReferenceKey, place: Place, model: nn.Module, side: Side, facts: dict[str, Any]
    ) -> Iterator[Draft]:
        """An entry with what is kept of a reference; `facts` were taken before anything else ran."""
        logits = self.predict(model, side)
        with self.store.writing(key, place, facts) as draft:
            save_weights(draft.path / "weights.safetensors", model)
            draft.write_arrays("logits.npz", **logits)
            yield draft

    def predict(self, model: nn.Module, side: Side, parts: tuple[str, ...] = PARTS) -> Logits:
        """Logits per part. Raises Diverged where one is not finite."""
        logits = {name: predict(model, side.parts[name], self.runtime) for name in parts}
        for name, values in logits.items():
            if not np.isfinite(values).all():
                raise Diverged(
                    f"the logits on the {name} part are not finite",
                    given="infinite or NaN logits",
                    allowed="finite logits",
                    remedy=SMALLER_RATE,
                )
        return logits

    def _load_original(self, seed: int) -> nn.Module:
        model = self.load("original", seed)
        return model.requires_grad_(False).eval()

    def load(self, role: Role, seed: int) -> nn.Module:
        model = self.fresh_model(self.keys.reference(role, seed).seed)
        load_weights(self.reference(role, seed).file("weights.safetensors"), model)
        return model

    def _load_logits(self, role: Role, seed: int) -> Logits:
        """A reference's stored logits; computed once per seed, whatever asks."""
        return self.reference(role, seed).arrays("logits.npz")

    def retrained_accuracies(self, seed: int) -> dict[str, float]:
        """RA, FA, VA of the retrained model by part: what a trial is held against."""
        return accuracies(self.logits("retrained", seed), self.side(seed))

    # ---------------------------------------------------------------------------------------------------- unlearning

    def unlearn(
        self,
        method: MethodConfig,
        params: dict[str, Value],
        seed: int,
        on_epoch: Callable[[int, nn.Module], None] | None = None,
        drawn: str | None = None,
    ) -> tuple[nn.Module, Run]:
        """Run a method on the original of `seed`. Equal values and equal `drawn` (as in the key) give equal models."""
        original, side = self.original(self.cell.forget.first_of("original", seed)), self.side(seed)

        def problem_of(generator: torch.Generator) -> Problem:
            model = self.runtime.compiled(working_copy(original))
            return Problem(
                original=original,
                model=model,
                parts=archs.parts(self.cell.arch, model),
                retain=side.parts["retain"],
                forget=side.parts["forget"],
                val=side.parts["val"],
                classes=len(self.decoded.class_names),
                generator=generator,
                _fresh=self._another,
                _runtime=self.runtime,
            )

        self.runtime.graphs_of(method.name)
        run_seed = self.keys.run_seed(method, seed, drawn)
        return execute(make_method(method, params), problem_of, self.runtime, run_seed, on_epoch)

    def unlearned(
        self, method: MethodConfig, params: dict[str, Value], seed: int, keep: str, drawn: str | None = None
    ) -> Entry:
        """An unlearned model of a report seed: timed, with its logits and, where kept, its weights."""
        key, place = self.keys.unlearned(method, params, seed, drawn), self.keys.place(method.name, seed)
        entry = self.store.find(key, place)
        if entry is not None:
            return entry
        original = self.original(seed)
        step_seconds = self.retrain_step_seconds()  # first, so that it also warms the device up
        self._build_graphs(method, params, seed, drawn)
        self.runtime.watch_memory()
        with self.progress.bar(f"{self.cell.name} {method.name} seed {seed}: epoch", epochs_of(params)) as bar:
            model, run = self.unlearn(method, params, seed, lambda epoch, _: bar.advance(), drawn)
        facts = self._facts(seconds=run.seconds, retrain_step_seconds=step_seconds, notes=run.notes)
        logits = self.predict(model, self.side(seed))  # after the facts: it has a peak of memory of its own
        with self.store.writing(key, place, facts) as draft:
            draft.write_arrays("logits.npz", **logits)
            draft.write_json("distances.json", distances(model, original))
            if keep == "weights":
                save_weights(draft.path / "weights.safetensors", model)
        self.progress.say(f"{self.cell.name} {method.name} seed {seed}: unlearned in {run.seconds:.1f} s")
        return self._stored(key, place)

    def _build_graphs(self, method: MethodConfig, params: dict[str, Value], seed: int, drawn: str | None) -> None:
        """Run once for nothing where networks are compiled: the run that is timed then finds every graph it needs.

        A graph takes seconds to minutes to build. Which ones a method needs (batch sizes, modes, frozen layers) only
        its run tells. The steps that retraining is timed by are warmed up likewise.
        """
        if self.runtime.config.compile is not None:
            self.runtime.graphs_of("nobody")  # whatever trials and earlier reports have built
            self.unlearn(method, params, seed, drawn=drawn)

    def retrain_step_seconds(self) -> float:
        """Seconds per retrain step in this process (protocol section 5), taken again when older than 10 minutes."""
        if self._step_seconds is None or time.monotonic() - self._step_seconds[0] > RECALIBRATE_SECONDS:
            retain = self._side.parts["retain"]
            self.runtime.graphs_of("retrain steps")
            model = self.runtime.compiled(self.fresh_model(0))
            seconds = seconds_per_step(model, retain, self.cell.train, self.runtime)
            self._step_seconds = time.monotonic(), seconds
        return self._step_seconds[1]

    def retrain_seconds(self, step_seconds: float) -> float:
        """RT(retrain) = seconds per step x steps of the recipe."""
        return step_seconds * self._side.parts["retain"].steps(self.cell.train.batch_size) * self.cell.train.epochs

    # ---------------------------------------------------------------------------------------------- metrics and rows

    def metrics(self, subject: UnlearnedKey | ReferenceKey, entry: Entry, place: Place, seed: int) -> Entry:
        """Scores of a stored model against the retrained one of its seed; equal models of a seed have equal ones."""
        key = self.keys.metrics(subject, seed)
        found = self.store.find(key, place)
        if found is not None:
            return found
        self.runtime.watch_memory()
        logits = entry.arrays("logits.npz")
        labels = self.side(seed).labels
        drawn = derive_seed32("mia", self.keys.drawn_for(seed))  # by the attack: the same for all models of a seed
        scores = score(logits, self.logits("retrained", seed), labels, drawn)
        scores.update(self._distances(entry, seed))
        with self.store.writing(key, place, self._facts()) as draft:
            draft.write_json("metrics.json", scores)
            draft.write_json("losses.json", loss_histograms(logits, labels))
        return self._stored(key, place)

    def _distances(self, entry: Entry, seed: int) -> dict[str, float | None]:
        """L2 distances of a stored model to the original and the retrained model of its seed."""
        names = ("L2_original", "L2_retrained", "L2_original_rel", "L2_retrained_rel", "moved", "moved_buffers")
        if "weights.safetensors" not in entry.meta["files"]:
            stored = entry.json("distances.json")
            return {**dict.fromkeys(names), **{name: stored[name] for name in names if name in stored}}
        model = self.fresh_model(seed)
        load_weights(entry.file("weights.safetensors"), model)
        retrained = distances(model, self.load("retrained", seed))
        return {
            **{name: value for name, value in distances(model, self.original(seed)).items() if name in names},
            "L2_retrained": retrained["L2_original"],
            "L2_retrained_rel": retrained["L2_original_rel"],
        }

    def reference_row(self, role: Role, seed: int) -> Entry:
        """The row of an original or retrained model, against which methods are read."""
        key, place = self.keys.reference(role, seed), self.keys.place(role, seed)
        entry = self.reference(role, seed)
        scores = self.metrics(key, entry, place, seed)
        labels = {
            "method": role,
            "method_title": role,
            "RTE": 1.0 if role == "retrained" else None,
            "retrain_seconds": None,
            "seconds": entry.meta["seconds"],
        }
        return self._row(None, scores, entry, place, labels)

    def evaluate(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> None:
        """Unlearn, score and label one model of a report seed."""
        self.method_row(sweep, method, params, seed)

    def method_row(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> Entry:
        """The row of an unlearned model of a report seed."""
        drawn = self.keys.report_draw(sweep, method, seed)
        entry = self.unlearned(method, params, seed, sweep.keep, drawn)
        place = self.keys.place(method.name, seed)
        scores = self.metrics(self.keys.unlearned(method, params, seed, drawn), entry, place, seed)
        retrain_seconds = self.retrain_seconds(entry.meta["retrain_step_seconds"])
        labels = {
            "method": method.name,
            "method_title": method.title,
            "method_version": method.version,
            "params": json.dumps(params, sort_keys=True),
            "notes": json.dumps(entry.meta["notes"], sort_keys=True),
            "result_set": self.keys.result_set(sweep, method).short,
            "protocol": sweep.protocol.name,
            "search": self._search_name(sweep, method),
            "seconds": entry.meta["seconds"],
            "retrain_seconds": retrain_seconds,
            "RTE": rte(retrain_seconds, entry.meta["seconds"]),
        }
        if self.keys.source(sweep, method) == "search":
            labels.update(
                space=sweep.search.space,
                selection=sweep.search.selection,
                trials=sweep.search.trials * sweep.search.seeds,
            )
        return self._row(self.keys.chosen_by(sweep, method), scores, entry, place, labels)

    def _search_name(self, sweep: SweepConfig, method: MethodConfig) -> str:
        source = self.keys.source(sweep, method)
        return sweep.search.name if source == "search" else source

    def _row(
        self,
        search: SearchKey | GivenKey | None,
        scores: Entry,
        subject: Entry,
        place: Place,
        labels: dict[str, Any],
    ) -> Entry:
        key = self.keys.row(scores.key, search)
        found = self.store.find(key, place)
        if found is not None:
            return found
        row = {**self._cell_fields(), **scores.json("metrics.json"), **labels, "seed": place.seed}
        row.update({name: subject.meta[name] for name in ("machine", "device", "threads", "commit", "torch", "date")})
        row |= {"metrics_key": scores.key.hash, "metrics_version": METRICS_VERSION}
        with self.store.writing(key, place, {}) as draft:
            draft.write_json("row.json", row)
        return self._stored(key, place)

    def _cell_fields(self) -> dict[str, Any]:
        cell = self.cell
        return {
            "cell": self.keys.cell_key.short,
            "dataset": cell.dataset.name,
            "dataset_title": cell.dataset.title,
            "arch": cell.arch.name,
            "arch_title": cell.arch.title,
            "train_epochs": cell.train.epochs,
            "train_batch_size": cell.train.batch_size,
            "train_lr": cell.train.lr,
            "limit": cell.dataset.limit,
            "forget_ratio": self._forget_ratio(),
            "classes": len(self.decoded.class_names),
            "precision": cell.precision,
            **{f"n_{name}": size for name, size in self.split.sizes.items()},
            **dict.fromkeys(
                (
                    "result_set",
                    "protocol",
                    "search",
                    "space",
                    "selection",
                    "trials",
                    "method_version",
                    "params",
                    "notes",
                )
            ),
        }

    def _forget_ratio(self) -> float:
        """As given, or as it has come out."""
        given, sizes = self.keys.split.forget_ratio, self.split.sizes
        return sizes["forget"] / (sizes["retain"] + sizes["forget"]) if given is None else given

    # ------------------------------------------------------------------------------------------------------- helpers

    def _facts(self, **more: Any) -> dict[str, Any]:
        return {**self.runtime.describe(), **self.runtime.peak_memory(), **more}

    def _stored(self, key: Any, place: Place) -> Entry:
        entry = self.store.find(key, place)
        assert entry is not None, "an entry that was just written is there"
        return entry


def accuracies(logits: Logits, side: Side) -> dict[str, float]:
    """By part, without the test part."""
    return {part: accuracy(logits[part], side.labels[part]) for part in SEARCH_PARTS}


def distances(model: nn.Module, original: nn.Module) -> dict[str, Any]:
    """L2 distance of the parameters: absolute, relative to `original`'s norm ("moved"), and per tensor (`layers`).

    moved_buffers: the same of floating-point buffers that are stored with the model, None without any.
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
    return float((now - then).norm() / then.norm())
