"""The attack on the models of a U-LiRA cell, stored like every result. Imports no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.cells import REFERENCES
from deepunlearn.core.keys import AttackKey
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.store import STATISTIC, Entry
from deepunlearn.forget.halves import Halves, HalvesForget
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.tasks import Task, role_of
from deepunlearn.ulira import attack
from deepunlearn.ulira.scores import Scores, Variance, log_odds

ESTIMATES = ("accuracy", "balanced", "auc", "tpr_at_1_in_1000", "tpr_at_1_in_100")  # of `attack.Attacked`
QUESTIONS = ("forgotten", "retained")  # against samples that no model of the halving has seen
CHEAP_PAIRS = 3  # of halvings, whose models the cheap variant fits its Gaussians to
VARIANTS: dict[str, tuple[Variance, int | None]] = {"full": ("sample", None), "cheap": ("pooled", CHEAP_PAIRS)}


@dataclass(frozen=True)
class Models:
    """All models of one method, or of a reference: phi [M, n], the pair of halvings of each [M], who is in which role.

    A pair is what the attack and its intervals leave out: the two are complements, so what one teaches of a
    sample is what the other lacks, and a fit that saw the one would know something of the other.
    """

    phi: npt.NDArray[np.float32]
    pair: npt.NDArray[np.int64]
    positive: dict[str, npt.NDArray[np.bool_]]  # question -> [M, n]
    never: npt.NDArray[np.bool_]
    first: Entry
    seconds: float  # mean

    @property
    def size(self) -> int:
        return len(self.phi)


class Attacks:
    """What is to be attacked in one cell of a plan: the methods, with original and retrained as ends of the scale."""

    def __init__(self, planner: Planner, cell: int) -> None:
        self.planner, self.cell, self.keys = planner, cell, planner.keys[cell]
        config = planner.sweep.cells[cell]
        assert isinstance(config.forget, HalvesForget)
        self.config, self.design = config, config.forget

    @cached_property
    def halves(self) -> Halves:
        splits = self.planner.splits(self.cell)
        assert isinstance(splits, Halves)
        return splits

    def run(self) -> dict[str, int]:
        """Attack every method whose models are all there, unless that is stored; how many models the others lack."""
        lacking = {}
        for name in (*REFERENCES, *self.planner.methods):
            tasks = self._tasks(name)
            missing = sum(not self.planner.is_done(task) for task in tasks)
            if missing:
                lacking[name] = missing
            else:
                self._attack(name, tasks)
        return lacking

    def _tasks(self, name: str) -> list[Task]:
        """Whose statistics are attacked: an original per halving, everything else per model of the design."""
        if name not in REFERENCES:
            return [Task("evaluate", self.cell, name, model) for model in range(self.design.models)]
        step = self.design.parts if name == "original" else 1
        return [Task("reference", self.cell, name, model) for model in range(0, self.design.models, step)]

    def _attack(self, name: str, tasks: list[Task]) -> None:
        store, place = self.planner.store, self.keys.place(name)
        digest = hashlib.sha256("".join(self._entry(task).key.hash for task in tasks).encode()).hexdigest()
        models: Models | None = None
        for question in QUESTIONS[: 1 if name == "original" else None]:  # all that an original was trained on is alike
            key = AttackKey(models=digest, question=question, version=attack.VERSION)
            if store.find(key, place) is not None:
                continue
            models = models or self._read(name, tasks)
            with store.writing(key, place, {"machine": machine(), "commit": commit()}) as draft:
                lines, accuracies = _judged(models, question)
                facts = {**self._facts(name, models), "question": question, "attack_version": attack.VERSION}
                draft.write_json("attack.json", [{**facts, **line} for line in lines])
                draft.write_arrays("accuracies.npz", **accuracies)

    def _entry(self, task: Task) -> Entry:
        assert task.seed is not None
        if task.method in REFERENCES:
            entry = self.planner.store.find(self.keys.reference(role_of(task), task.seed), self.planner.place(task))
        else:
            params = self.planner.params(self.cell, task.method)
            assert params is not None
            method = self.planner.methods[task.method]
            drawn = self.keys.report_draw(self.planner.sweep, method, task.seed)
            key = self.keys.unlearned(method, params, task.seed, drawn)
            entry = self.planner.store.find(key, self.planner.place(task))
        assert entry is not None, "asked for models that are stored"
        return entry

    def _read(self, name: str, tasks: list[Task]) -> Models:
        entries = [self._entry(task) for task in tasks]
        phi = np.stack([entry.arrays(STATISTIC)["phi"] for entry in entries])
        return Models(
            phi=phi,
            pair=pairs_of(self.design, [task.seed or 0 for task in tasks]),
            first=entries[0],
            seconds=float(np.mean([entry.meta["seconds"] for entry in entries])),
            **roles(self.halves, self.design, [task.seed or 0 for task in tasks], shared=name == "original"),
        )

    def _facts(self, name: str, models: Models) -> dict[str, Any]:
        """What a line of the attacks' table says beside the outcome."""
        method, config = self.planner.methods.get(name), self.config
        sizes = self.planner.sizes(self.cell)
        return {
            "cell": self.keys.cell_key.short,
            "result_set": None if method is None else self.keys.result_set(self.planner.sweep, method).short,
            "dataset": config.dataset.name,
            "dataset_title": config.dataset.title,
            "arch": config.arch.name,
            "arch_title": config.arch.title,
            "method": name,
            "method_title": name if method is None else method.title,
            "search": None if method is None else self._search(name),
            "halvings": self.design.halvings,
            "parts": self.design.parts,
            "models": models.size,
            "pool": len(self.halves.pool),
            "n_forget": sizes["forget"],
            "train_epochs": config.train.epochs,
            "limit": config.dataset.limit,
            "seconds": models.seconds,
            **{fact: models.first.meta[fact] for fact in ("machine", "device", "torch", "commit", "date")},
        }

    def _search(self, name: str) -> str:
        sweep, source = self.planner.sweep, self.keys.source(self.planner.sweep, self.planner.methods[name])
        return (
            f"{sweep.search.name}, {sweep.search.trials} trials x {sweep.search.seeds}"
            if source == "search"
            else source
        )


def pairs_of(design: HalvesForget, models: list[int]) -> npt.NDArray[np.int64]:
    """The pair of halvings of each model; a halving and its complement have neighbouring numbers."""
    return np.array([design.halving_and_part(model)[0] // 2 for model in models])


def roles(halves: Halves, design: HalvesForget, models: list[int], shared: bool) -> dict[str, Any]:
    """`positive` and `never` of `Models`. shared: an original stands for its halving, and forgets nothing itself."""
    pairs = [design.halving_and_part(model) for model in models]
    own = halves.part[[halving for halving, _ in pairs]]
    part = np.array([part for _, part in pairs], dtype=np.int8)[:, None]
    trained = own >= 0
    forgotten = trained if shared else own == part
    return {"positive": {"forgotten": forgotten, "retained": trained & ~forgotten}, "never": ~trained}


def _judged(models: Models, question: str) -> tuple[list[dict[str, Any]], dict[str, npt.NDArray[Any]]]:
    """A line per variant, and the full attack's accuracy per sample."""
    roles_ = models.pair, models.positive[question], models.never
    scores = {
        name: log_odds(models.phi, *roles_, variance=variance, groups_used=used)
        for name, (variance, used) in VARIANTS.items()
    }
    attacked = {name: attack.judge(one, *roles_) for name, one in scores.items()}
    sure = models.phi > 0  # more than half of the probability: an attack at chance on a broken model is no success
    shares = {"sure": float(sure[models.positive[question]].mean()), "sure_never": float(sure[models.never].mean())}
    lines = [
        {"variant": name, **shares, **_line(one), **_agreement(scores, name, roles_)} for name, one in attacked.items()
    ]
    return lines, {"samples": attacked["full"].samples, "accuracies": attacked["full"].accuracies}


def _line(attacked: attack.Attacked) -> dict[str, Any]:
    line: dict[str, Any] = {
        "samples": len(attacked.samples),
        "left_out": attacked.left_out,
        "accuracy_sd": attacked.accuracy_std,
    }
    for name in ESTIMATES:
        one: attack.Estimate = getattr(attacked, name)
        line |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return line


def _agreement(scores: dict[str, Scores], name: str, roles_: tuple[Any, ...]) -> dict[str, Any]:
    """Of a variant with the full attack."""
    fields = ("equal_decisions", "correlation", "accuracy_difference", "auc_difference")
    if name == "full":
        return dict.fromkeys(fields)
    agreement = attack.agreement(scores["full"], scores[name], *roles_)
    return {field: getattr(agreement, field) for field in fields}
