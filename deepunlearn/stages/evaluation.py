"""Scores of the models of a cell against the retrained ones, and the rows of its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.forget import Role
from deepunlearn.core.keys import GivenKey, MetricsKey, ReferenceKey, SearchKey, UnlearnedKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import Entry, Place, find_row
from deepunlearn.metrics import VERSION as METRICS_VERSION
from deepunlearn.metrics.corrected import corrected
from deepunlearn.metrics.efficiency import rte
from deepunlearn.metrics.histograms import loss_histograms
from deepunlearn.metrics.requests import REQUESTS, of_requests
from deepunlearn.metrics.retention import NO_RETRAINED
from deepunlearn.metrics.row import check_row
from deepunlearn.metrics.scores import accuracies, completed, score
from deepunlearn.stages.measuring import MeasuringStage
from deepunlearn.stages.recording import LEARNING_PHASE
from deepunlearn.stages.references import Logits
from deepunlearn.stages.unlearning import distances
from deepunlearn.training import load_weights

Array = npt.NDArray[np.generic]
ROUND = ("sequence", "round", "rounds", "requested", "forgotten")  # columns of rows; null without rounds


class Experiment(MeasuringStage):
    """One cell on one device, ready to compute and store all there is of it."""

    def metrics(self, subject: UnlearnedKey | ReferenceKey, entry: Entry, place: Place, seed: int) -> Entry:
        """Scores of a stored model against the retrained one of its seed; equal models of a seed have equal ones."""
        key = self.keys.metrics(subject, seed)
        stored = self.store.find(key, place)
        if stored is not None:
            return stored
        self.runtime.watch_memory()
        logits = self.logits_of(subject, entry, seed)
        data, drawn = self.split_data(seed), self.drawn("mia", seed)
        retrained = self.logits("retrained", seed) if self.cell.retrains else None
        scores = score(logits, retrained, data.labels, drawn, counted=data.counted)
        if retrained is None:
            scores["reason"] = "; ".join(one for one in (scores["reason"], NO_RETRAINED) if one)
        scores.update(self._distances(entry, seed))
        scores.update(self._corrected(logits))
        with self.store.writing(key, place, self._facts()) as draft:
            draft.write_json("metrics.json", scores)
            draft.write_json("losses.json", loss_histograms(logits, data.labels))
        return self._stored(key, place)

    def _corrected(self, logits: Logits) -> dict[str, float | None]:
        """Accuracies on the true labels of what is wrongly labelled in training."""
        return corrected(logits, self.split, self.decoded.train_labels)

    def _distances(self, entry: Entry, seed: int) -> dict[str, float | None]:
        """L2 distances of a stored model to the original and the retrained model of its seed."""
        names = ("L2_original", "L2_retrained", "L2_original_rel", "L2_retrained_rel", "moved", "moved_buffers")
        if "weights.safetensors" not in entry.meta["files"]:
            stored = entry.json("distances.json")
            return {**dict.fromkeys(names), **{name: stored[name] for name in names if name in stored}}
        model = self.fresh_model(seed)
        load_weights(entry.file("weights.safetensors"), model)
        far = distances(model, self.load("retrained", seed)) if self.cell.retrains else {}
        return {
            **{name: value for name, value in distances(model, self.original(seed)).items() if name in names},
            "L2_retrained": far.get("L2_original"),
            "L2_retrained_rel": far.get("L2_original_rel"),
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
            **self._given(seed),
        }
        return self._row(None, scores, entry, place, labels)

    def evaluate(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> None:
        """Unlearn, score and label one model of a report seed."""
        self.method_row(sweep, method, params, seed)

    def method_row(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> Entry:
        """The row of an unlearned model of a report seed."""
        drawn, earlier = self.keys.report_draw(sweep, method, seed), self.earlier_key(sweep, method, seed)
        entry = self.unlearned(method, params, seed, sweep.keep, drawn, earlier=earlier)
        place = self.keys.place(method.name, seed)
        subject = self.keys.unlearned(method, params, seed, drawn, earlier)
        scores = self.metrics(subject, entry, place, seed)
        retrain_seconds = self.retrain_seconds(self.timed_step(entry), method, params, seed)
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
            **self.costs(method, params, seed),
            **self._given(seed),
        }
        if self.keys.source(sweep, method) == "search":
            labels.update(
                space=sweep.search.space,
                selection=sweep.search.selection,
                trials=sweep.search.trials * sweep.search.studies,  # as asked for, whichever of them stopped early
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
        assert isinstance(scores.key, MetricsKey)
        key, stored = find_row(self.store, self.keys.row(scores.key, search), place, labels.get("result_set"))
        if stored is not None:
            return stored
        known = completed(scores.json("metrics.json"), lambda: self._reference_accuracies(place.seed))
        row = {**self._cell_fields(), **known, **self._of_requests(subject, place), **labels, "seed": place.seed}
        row.update({name: subject.meta[name] for name in ("machine", "device", "threads", "commit", "torch", "date")})
        row |= {"metrics_key": scores.key.hash, "metrics_version": METRICS_VERSION}
        check_row(row)
        with self.store.writing(key, place, {}) as draft:
            draft.write_json("row.json", row)
        return self._row(search, scores, subject, place, labels)  # another command's may have come first

    def _reference_accuracies(self, seed: int | None) -> dict[str, float | None]:
        """`metrics.scores.accuracies` of the retrained model."""
        assert seed is not None
        return accuracies(self.logits("retrained", seed), self.split_data(seed).labels)

    def _given(self, seed: int) -> dict[str, str | None]:
        """The file that the original of a seed was given in."""
        if self.cell.given is None:
            return {"given_original": None}
        file = self.cell.given.of(seed)
        return {"given_original": f"{Path(file.path).name} (sha256 {file.digest})"}

    def _cell_fields(self) -> dict[str, Any]:
        cell = self.cell
        train = cell.train if cell.retrains else None
        return {
            "cell": self.keys.cell_key.short,
            "dataset": cell.dataset.name,
            "dataset_title": cell.dataset.title,
            "arch": cell.arch.name,
            "arch_title": cell.arch.title,
            "train_epochs": train and train.epochs,
            "train_batch_size": train and train.batch_size,
            "train_lr": train and train.lr,
            "limit": cell.dataset.limit,
            "forget_kind": cell.forget.kind,
            "forget_title": cell.forget.titled(self.decoded.class_names),
            "forget_remarks": "; ".join(self.split.remarks) or None,
            "forget_ratio": self._forget_ratio(),
            "classes": len(self.decoded.class_names),
            "precision": cell.precision,
            **{f"n_{name}": size for name, size in self.split.sizes.items()},
            "n_unseen_test": None if self.split.unseen_test is None else len(self.split.unseen_test),
            **self._round_fields(),
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
                    *LEARNING_PHASE,
                )
            ),
        }

    def _round_fields(self) -> dict[str, Any]:
        """`ROUND` of this cell's rows."""
        rounds = self.keys.rounds
        if rounds is None:
            return dict.fromkeys(ROUND)
        requested = int((~self.earlier).sum())
        values = self.keys.sequence_id, rounds.round, rounds.rounds, requested, len(self.split.forget)
        return dict(zip(ROUND, values, strict=True))

    def _of_requests(self, subject: Entry, place: Place) -> dict[str, float | None]:
        """`REQUESTS` of a stored model: of the last request and of those before it."""
        if self.keys.rounds is None:
            return dict.fromkeys(REQUESTS)
        assert place.seed is not None and isinstance(subject.key, UnlearnedKey | ReferenceKey)
        logits, data = self.logits_of(subject.key, subject, place.seed), self.split_data(place.seed)
        return of_requests(logits, data.labels, data.counted, self.earlier)

    def _forget_ratio(self) -> float:
        """As given, or as it has come out."""
        given, sizes = self.keys.split.forget_ratio, self.split.sizes
        return sizes["forget"] / (sizes["retain"] + sizes["forget"]) if given is None else given
