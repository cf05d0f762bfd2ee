"""The attack on the models of a U-LiRA cell, stored like every result. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.cells import REFERENCES
from deepunlearn.core.keys import AttackKey, MemorisationKey, VerdictKey
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.store import MEMORISATION, STATISTIC, Draft, Entry
from deepunlearn.forget.halves import Halves, HalvesForget
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task, role_of
from deepunlearn.ulira import attack, iam, memorisation, rmia, ruli
from deepunlearn.ulira import verdicts as verdict
from deepunlearn.ulira.scores import Scores, Variance, log_odds

ESTIMATES = ("accuracy", "balanced", "auc", "tpr_at_1_in_1000", "tpr_at_1_in_100")  # of `attack.Attacked`
QUESTIONS = ("forgotten", "retained")  # against samples that no model of the halving has seen
CHEAP_PAIRS = 3  # of halvings, whose models the cheap variant fits its Gaussians to
VARIANTS: dict[str, tuple[Variance, int | None]] = {"full": ("sample", None), "cheap": ("pooled", CHEAP_PAIRS)}
OTHERS = {"rmia": rmia.VERSION, "iam": iam.VERSION, "ruli": ruli.VERSION}  # attacks on what was forgotten, beside ours
UNCALIBRATED = ("rmia", "iam")  # order observations, but have no threshold


@dataclass(frozen=True)
class Models:
    """All models of one method, or of a reference: phi [M, n], the pair of halvings of each [M], who is in which role.

    right [M, n]: whether the label's logit is the largest; None where some models were stored by an earlier version.

    A pair is what the attack and its intervals leave out: the two are complements, so what one teaches of a
    sample is what the other lacks, and a fit that saw the one would know something of the other.
    """

    phi: npt.NDArray[np.float32]
    right: npt.NDArray[np.bool_] | None
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
        """Attack every method whose models are all there, unless that is stored; how many models the others lack.

        What is held against originals and retrained models waits for these.
        """
        lacking: dict[str, int] = {}
        for name in (*REFERENCES, *self.planner.methods):
            tasks = self._tasks(name)
            missing = sum(not self.planner.is_done(task) for task in tasks)
            if missing:
                lacking[name] = missing
            else:
                self._judge(name, tasks, with_references=lacking.keys().isdisjoint(REFERENCES))
        return lacking

    def models(self, name: str) -> Models | None:
        """All models of a method or a reference, as attacks see them; None while some of them are missing."""
        tasks = self._tasks(name)
        return self._read(name, tasks) if all(map(self.planner.is_done, tasks)) else None

    def _tasks(self, name: str) -> list[Task]:
        """Whose statistics are attacked: an original per halving, everything else per model of the design."""
        if name not in REFERENCES:
            return [Task("evaluate", self.cell, name, model) for model in range(self.design.models)]
        step = self.design.parts if name == "original" else 1
        return [Task("reference", self.cell, name, model) for model in range(0, self.design.models, step)]

    def _judge(self, name: str, tasks: list[Task], *, with_references: bool) -> None:
        """Whatever is missing of the attacks on these models and the verdicts on them."""
        models = _Once(lambda: self._read(name, tasks))
        own = self._digest(tasks)
        for question in QUESTIONS[: 1 if name == "original" else None]:  # all that an original was trained on is alike
            self._attack(name, question, own, models)
        if name == "original":
            self._memorise(tasks, own, models)
        if with_references:
            self._other_attacks(name, own, models)
        if with_references and name != "retrained" and self._has_retrained:
            self._verdicts(name, own, models)

    @cached_property
    def _has_retrained(self) -> bool:
        return all(self.planner.is_done(task) for task in self._tasks("retrained"))

    def _digest(self, tasks: list[Task]) -> str:
        """Of the keys of their models."""
        return hashlib.sha256("".join(self._entry(task).key.hash for task in tasks).encode()).hexdigest()

    def _attack(self, name: str, question: str, own: str, models: _Once) -> None:
        """U-LiRA's own, in both variants."""
        key = AttackKey(models=own, question=question, version=attack.VERSION)
        with self._writing(key, name) as draft:
            if draft is None:
                return
            lines, accuracies = _judged(models(), question)
            facts = {**self._facts(name, models()), "question": question, "attack_version": attack.VERSION}
            draft.write_json("attack.json", [{**facts, **line} for line in lines])
            draft.write_arrays("accuracies.npz", **accuracies)

    def _other_attacks(self, name: str, own: str, models: _Once) -> None:
        """The rest of them on what was forgotten, held against U-LiRA's."""
        question = QUESTIONS[0]
        for other, version in OTHERS.items():
            seen = own if other != "iam" else hashlib.sha256((own + self._of_originals).encode()).hexdigest()
            key = AttackKey(models=seen, question=question, version=version, attack=other)
            with self._writing(key, name) as draft:
                if draft is None:
                    continue
                line = _judged_by(other, models(), question, self._originals)
                facts = {**self._facts(name, models()), "question": question, "attack_version": version}
                draft.write_json("attack.json", [{**facts, **line}])

    def _verdicts(self, name: str, own: str, models: _Once) -> None:
        """What is no attack: KLoM, the forgetting score, what is left of memorisation."""
        key = VerdictKey(models=own, retrained=self._of_retrained, version=verdict.VERSION)
        with self._writing(key, name) as draft:
            if draft is None:
                return
            facts = {**self._facts(name, models()), "verdict_version": verdict.VERSION}
            draft.write_json("verdicts.json", [{**facts, **line} for line in self._verdict_lines(name, models())])

    def _verdict_lines(self, name: str, models: Models) -> list[dict[str, Any]]:
        """Of an original it is the other end of the scale: as if it stood for each of its halving's forget sets."""
        retrained, shared = self._retrained, name == "original"
        rows = np.repeat(np.arange(models.size), self.design.parts) if shared else np.arange(models.size)
        right = None if models.right is None else models.right[rows]
        bank = verdict.Bank(
            models.phi[rows],
            retrained.phi,
            retrained.pair,
            {**retrained.positive, "never": retrained.never},
            right,
            retrained.right,
        )
        return [*verdict.verdicts(bank), _memorised(models)]

    def _memorise(self, tasks: list[Task], own: str, models: _Once) -> None:
        """Each sample's memorisation, for forget sets that go by it."""
        key = MemorisationKey(originals=own, version=memorisation.VERSION)
        with self._writing(key, "original") as draft:
            if draft is None:
                return
            found = memorisation.memorisation(_right(models()), models().positive["forgotten"])
            rows = self.halves.pool
            draft.write_json(
                "memorisation.json", {**self._facts("original", models()), "right_is": _right_is(models())}
            )
            labels = self.planner.data(self.cell).train_labels[rows]
            draft.write_arrays(MEMORISATION, rows=rows, labels=labels, **vars(found))

    @contextmanager
    def _writing(self, key: AttackKey | VerdictKey | MemorisationKey, name: str) -> Iterator[Draft | None]:
        """The entry to write; None where it is there."""
        place = self.keys.place(name)
        if self.planner.store.find(key, place) is not None:
            yield None
            return
        with self.planner.store.writing(key, place, {"machine": machine(), "commit": commit()}) as draft:
            yield draft

    @cached_property
    def _of_originals(self) -> str:
        return self._digest(self._tasks("original"))

    @cached_property
    def _of_retrained(self) -> str:
        return self._digest(self._tasks("retrained"))

    @cached_property
    def _retrained(self) -> Models:
        return self._read("retrained", self._tasks("retrained"))

    @cached_property
    def _originals(self) -> iam.Originals:
        found = self._read("original", self._tasks("original"))
        return iam.Originals(found.phi, found.pair, found.positive["forgotten"])

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
        stored = [entry.arrays(STATISTIC) for entry in entries]
        return Models(
            phi=np.stack([arrays["phi"] for arrays in stored]),
            right=np.stack([arrays["right"] for arrays in stored]) if all("right" in one for one in stored) else None,
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
            f"{sweep.search.name}, {sweep.search.trials} trials x {sweep.search.studies}"
            if source == "search"
            else source
        )


class _Once:
    """Models that are read when they are first asked for."""

    def __init__(self, read: Callable[[], Models]) -> None:
        self._read = cache(read)

    def __call__(self) -> Models:
        return self._read()


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
    shares = _sure(models, question)
    lines = [
        {"variant": name, **shares, **_line(one), **_agreement(scores, name, roles_)} for name, one in attacked.items()
    ]
    return lines, {"samples": attacked["full"].samples, "accuracies": attacked["full"].accuracies}


def _judged_by(other: str, models: Models, question: str, originals: iam.Originals) -> dict[str, Any]:
    """The line of an attack that is not U-LiRA's. What takes a threshold is empty where it has none."""
    roles_ = models.pair, models.positive[question], models.never
    by: dict[str, Callable[..., Scores]] = {
        "rmia": rmia.rmia, "ruli": ruli.ruli, "iam": partial(iam.iam, originals=originals),
    }  # fmt: skip
    scores = by[other](models.phi, *roles_)
    line = {"variant": other, **_sure(models, question), **_line(attack.judge(scores, *roles_))}
    line |= _agreement({"full": log_odds(models.phi, *roles_), other: scores}, other, roles_)
    if other in UNCALIBRATED:
        empty = [f"{name}{end}" for name in ("accuracy", "balanced") for end in ("", "_low", "_high")]
        line |= dict.fromkeys((*empty, "accuracy_sd", "equal_decisions", "correlation", "accuracy_difference"))
    return line


def _sure(models: Models, question: str) -> dict[str, float]:
    """Who has more than half of the probability: an attack at chance on a broken model is no success."""
    sure = models.phi > 0
    return {"sure": float(sure[models.positive[question]].mean()), "sure_never": float(sure[models.never].mean())}


def _right(models: Models) -> npt.NDArray[np.bool_]:
    """Whether each model gets each sample right, or what stands in for it in models of earlier versions."""
    return models.phi > 0 if models.right is None else models.right


def _right_is(models: Models) -> str:
    return "p > 0.5" if models.right is None else "the largest logit"


def _memorised(models: Models) -> dict[str, Any]:
    line = verdict.left_over(_right(models), models.pair, models.positive["forgotten"], models.never)
    return {**line, "reason": None if models.right is not None else f"by p > 0.5: {verdict.EARLIER}"}


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
