"""The tasks of a sweep, what each needs and what it is called. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.cells import REFERENCES, WATCHED_SEED, references_of
from deepunlearn.core.forget import Role
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.keys import CellKey, ConfidenceKey, RecordKey
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.progress import Progress
from deepunlearn.core.samples import Indices
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.sharding import Placement
from deepunlearn.core.store import Place
from deepunlearn.launch.cells import Cells
from deepunlearn.launch.task import BY_ROUND, STAGES, Stage, Step, Task, role_of


class TaskList(Cells):
    """Knows the tasks of a sweep and their order."""

    def __init__(self, sweep: SweepConfig, progress: Progress, *, only_plan: bool = False) -> None:
        """only_plan: as of `Cells`."""
        super().__init__(sweep, progress, only_plan=only_plan)
        self.methods = {method.name: method for method in sweep.methods}
        self._originals: dict[tuple[int, int], str] = {}
        self._confidences: dict[tuple[int, int], str] = {}
        self._asked: dict[int, set[int]] = {}  # cell -> seeds of originals that are watched
        self._records: dict[tuple[int, str, int], str] = {}

    @property
    def command(self) -> str:
        """The command that does these tasks."""
        return self.sweep.cells[0].forget.command

    @property
    def timed_stages(self) -> list[Stage]:
        """Those in which the cost of unlearning counts, so that nothing may run beside it. U-LiRA times nothing."""
        if not any(cell.forget.scored for cell in self.sweep.cells):
            return []
        calls = any("call" in one.needs for one in self.sweep.measures)
        return ["evaluate", "measure"] if calls else ["evaluate"]

    @cached_property
    def tasks(self) -> list[Task]:
        """All tasks in an order in which each comes after what it needs."""
        cells = range(len(self.sweep.cells))
        in_steps = (
            task
            for step in self.steps
            for cell in cells
            if step.round in (0, self.round_of(cell))
            for task in self._tasks(step.stage, cell)
        )
        return list(dict.fromkeys(in_steps))

    @cached_property
    def steps(self) -> list[Step]:
        """In the order in which they can be done: what comes by round stands together for each of them."""
        rounds = sorted({self.round_of(cell) for cell in range(len(self.sweep.cells))})
        first, last = STAGES.index(BY_ROUND[0]), STAGES.index(BY_ROUND[-1])
        before, after = ([Step(stage, 0) for stage in part] for part in (STAGES[:first], STAGES[last + 1 :]))
        return [*before, *(Step(stage, round) for round in rounds for stage in BY_ROUND), *after]

    def step_of(self, task: Task) -> Step:
        return Step(task.stage, self.round_of(task.cell) if task.stage in BY_ROUND else 0)

    def _tasks(self, stage: Stage, cell: int) -> Iterator[Task]:
        config = self.sweep.cells[cell]
        reported, searched_on = self.sweep.report_seeds(config), self.sweep.search_seeds(config)
        if stage == "confidence":
            watched = (self._watched(cell, seed) for seed in sorted(self._seeds_watched(cell)))
            yield from (task for task in watched if task.cell == cell)
        elif stage == "reference":
            seeds = sorted({*reported, *(searched_on if self._searched(cell) else ())})
            yield from dict.fromkeys(task for seed in seeds for task in self.references(cell, seed))
        elif stage == "record":
            yield from dict.fromkeys(one for name in self.methods for seed in self._made_of(cell, name)
                                     for one in self._record(cell, name, seed))  # fmt: skip
        elif stage == "search":
            searched = self._searched(cell)
            studies = self.sweep.study_seeds(config)
            yield from (Task(stage, cell, name, seeds[0]) for name in searched for seeds in studies)
        elif stage == "select":
            yield from (Task(stage, cell, name, None) for name in self._searched(cell))
        elif stage == "evaluate":
            names = [*references_of(config), *self.methods] if config.forget.scored else [*self.methods]
            yield from (Task(stage, cell, name, seed) for name in names for seed in reported)
        elif config.forget.scored:
            names = [name for name in (*references_of(config), *self.methods) if self.measures_of(name)]
            # by seed, since all models of one are held against the same references, which are read once then
            yield from (Task(stage, cell, name, seed) for seed in reported for name in names)
            yield from (Task(stage, cell, name, None) for name in self.methods if self.measures_over_seeds)

    def measures_of(self, method: str) -> list[Measure]:
        """The further measures of the models of a method, original and retrained among them: these have no call."""
        of_models = (one for one in self.sweep.measures if one.over == "models")
        return [one for one in of_models if "call" not in one.needs or method not in REFERENCES]

    @property
    def measures_over_seeds(self) -> list[Measure]:
        """Those of all models of a method together; their task has no seed."""
        return [one for one in self.sweep.measures if one.over == "seeds"]

    def members(self, task: Task) -> list[Task]:
        """The evaluations of the models that a task measures: of one seed, or of all."""
        seeds = self.sweep.report_seeds(self.sweep.cells[task.cell]) if task.seed is None else [task.seed]
        return [replace(task, stage="evaluate", seed=seed) for seed in seeds]

    def _made_of(self, cell: int, name: str) -> list[int]:
        """The seeds whose originals a method unlearns from."""
        config = self.sweep.cells[cell]
        searched_on = self.sweep.search_seeds(config) if name in self._searched(cell) else ()
        return sorted({*self.sweep.report_seeds(config), *searched_on})

    def _record(self, cell: int, name: str, seed: int) -> list[Task]:
        """What a method needs to know of the training of its original, if anything.

        It is a task of the first cell and method that need the same.
        """
        if not self.methods[name].records:
            return []
        if self.methods[name].needs == "shards":  # of the original, whoever forgets
            seed = self.sweep.cells[cell].forget.reference_seed("original", seed)
        own = self._record_hash(cell, name, seed)
        needing = [one for one, method in self.methods.items() if method.records]
        tasks = (Task("record", one, other, seed) for one in range(cell + 1) for other in needing)
        return [next(task for task in tasks if self._record_hash(task.cell, task.method, seed) == own)]

    def _record_hash(self, cell: int, name: str, seed: int) -> str:
        """The hash of its key."""
        if (cell, name, seed) not in self._records:
            self._records[cell, name, seed] = self.record_key(Task("record", cell, name, seed)).hash
        return self._records[cell, name, seed]

    def references(self, cell: int, seed: int) -> list[Task]:
        """The original and, where there is one, the retrained model of a seed."""
        return [self._reference(cell, role, seed) for role in references_of(self.sweep.cells[cell])]

    def _reference(self, cell: int, role: Role, seed: int) -> Task:
        seed = self.sweep.cells[cell].forget.reference_seed(role, seed)
        return Task("reference", self._trained_for(cell, seed) if role == "original" else cell, role, seed)

    def _trained_for(self, cell: int, seed: int) -> int:
        """The first cell with the same original, which forget sets share: it is trained once, for that one."""
        cells = self.sweep.cells
        if not cells[cell].forget.shares_original:
            return cell
        own = self._original(cell, seed)
        earlier = (one for one in range(cell) if cells[one].forget.shares_original)
        return next((one for one in earlier if self._original(one, seed) == own), cell)

    def _original(self, cell: int, seed: int) -> str:
        """The hash of its key."""
        if (cell, seed) not in self._originals:
            self._originals[cell, seed] = self.keys[cell].reference("original", seed).hash
        return self._originals[cell, seed]

    def _seeds_watched(self, cell: int) -> set[int]:
        """Of the originals whose training is to be watched: for what is forgotten, or for methods that go by that."""
        if cell not in self._asked:
            forget = self.sweep.cells[cell].forget
            by_methods = (seed for name, method in self.methods.items() if method.watches
                          for seed in self._made_of(cell, name))  # fmt: skip
            originals = {forget.reference_seed("original", seed) for seed in by_methods}
            self._asked[cell] = originals | ({WATCHED_SEED} if forget.by_confidence else set())
        return self._asked[cell]

    def _watched(self, cell: int, seed: int) -> Task:
        """The training of the original of `seed` to watch: a task of the first cell with the same."""
        seed = self.sweep.cells[cell].forget.reference_seed("original", seed)
        own = self._watched_hash(cell, seed)
        asking = (one for one in range(cell + 1) if seed in self._seeds_watched(one))
        first = next(one for one in asking if self._watched_hash(one, seed) == own)
        return Task("confidence", first, "original", seed)

    def _watched_hash(self, cell: int, seed: int) -> str:
        """The hash of its key."""
        if (cell, seed) not in self._confidences:
            self._confidences[cell, seed] = self.keys[cell].confidence_of(seed).hash
        return self._confidences[cell, seed]

    def watched_key(self, task: Task) -> ConfidenceKey:
        """What a task that watches a training stores."""
        assert task.seed is not None
        return self.keys[task.cell].confidence_of(task.seed)

    @cached_property
    def watched(self) -> dict[str, Task]:
        """Hash of an original's key -> the task that watches its training, and leaves it, too."""
        return {self.watched_key(task).original.hash: task for task in self.tasks if task.stage == "confidence"}

    def _searched(self, cell: int) -> list[str]:
        """The methods whose hyper-parameters are searched in this cell, and not in an earlier round."""
        return self._chosen(cell) if self.keys[cell].searched_before is None else []

    def _chosen(self, cell: int) -> list[str]:
        """Those whose hyper-parameters come from a search."""
        source = self.keys[cell].source
        return [name for name, method in self.methods.items() if source(self.sweep, method) == "search"]

    def _selection_of(self, task: Task) -> list[Task]:
        """The selection of the hyper-parameters that an evaluation is made with, if there is one."""
        cell = task.cell
        while self.keys[cell].searched_before is not None:
            before = self.before(cell)
            assert before is not None
            cell = before
        return [Task("select", cell, task.method, None)] if task.method in self._chosen(cell) else []

    def _gone_on_from(self, task: Task) -> list[Task]:
        """The evaluation of the round before, whose model this one is made from, if there is one."""
        before = self.before(task.cell)
        return [] if before is None or task.method in REFERENCES else [replace(task, stage="evaluate", cell=before)]

    def _searched_on(self, task: Task) -> list[Task]:
        """Of a search after the first round what the models come from that it goes on from.

        Those of seeds that are not reported are made when they are needed.
        """
        before = self._gone_on_from(task)
        reported = self.sweep.report_seeds(self.sweep.cells[task.cell])
        return [
            *(before if task.seed in reported else ()),
            *(one for model in before for one in self._selection_of(model)),
        ]

    def inputs(self, task: Task) -> list[Task]:
        """The tasks that `task` reads directly."""
        if task.stage in ("confidence", "reference"):
            return self._watched_before(task) if task.stage == "reference" else []
        if task.stage == "measure":
            return self.members(task)
        if task.stage == "select":
            studies = self.sweep.study_seeds(self.sweep.cells[task.cell])
            return [Task("search", task.cell, task.method, seeds[0]) for seeds in studies]
        if task.stage == "search":
            each = (self._needed(replace(task, seed=seed)) for seed in self.seeds_of_study(task))
            return list(dict.fromkeys(one for needed in each for one in needed))
        return self._needed(task)

    def seeds_of_study(self, task: Task) -> tuple[int, ...]:
        """The seeds that the trials of a search are on; `task` has the first one."""
        studies = self.sweep.study_seeds(self.sweep.cells[task.cell])
        return next(seeds for seeds in studies if seeds[0] == task.seed)

    def _needed(self, task: Task) -> list[Task]:
        """What a task reads of the models of its seed."""
        references = [] if task.seed is None else self.references(task.cell, task.seed)
        if task.stage == "record":
            return references[:1]
        if task.method in REFERENCES:
            return references
        if task.seed is not None:
            references += self._record(task.cell, task.method, task.seed)
            references += [self._watched(task.cell, task.seed)] if self.methods[task.method].watches else []
        searched = task.stage == "search"
        made_from = self._searched_on(task) if searched else [*self._gone_on_from(task), *self._selection_of(task)]
        return [*references, *made_from]

    def _watched_before(self, task: Task) -> list[Task]:
        """What is watched before a reference is trained: what tells the split, or leaves that reference, too."""
        found = [self._watched(task.cell, WATCHED_SEED)] if self.sweep.cells[task.cell].forget.by_confidence else []
        if task.method == "original" and self.watched:
            assert task.seed is not None
            own = self.watched.get(self._original(task.cell, task.seed))
            found += [own] if own is not None and own not in found else []
        return found

    def place(self, task: Task) -> Place:
        needs = self.methods[task.method].needs if task.stage == "record" else None
        return self.keys[task.cell].place(needs or task.method, task.seed)

    def record_key(self, task: Task) -> RecordKey:
        """What a task that records a training stores."""
        assert task.seed is not None
        keys, method = self.keys[task.cell], self.methods[task.method]
        searched = keys.source(self.sweep, method) == "search"
        return keys.record(method, method.complete({}) if searched else keys.given(self.sweep, method), task.seed)

    def placement(self, task: Task) -> tuple[Placement, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of a method with shards: where samples are, bool [N] which its models forget, and which of them now.

        These differ where requests went before. Raises LookupError before it is known what is forgotten, ConfigError
        where there can be none.
        """
        assert task.seed is not None
        split = self.splits(task.cell).of(task.seed)
        labels = split.labels_in_training(self.data(task.cell).train_labels)[split.train]
        gone, asked = (np.isin(split.train, rows) for rows in (split.forget, self.requested(task)))
        return self.keys[task.cell].placement(self.record_key(task), labels), gone, asked

    def requested(self, task: Task) -> Indices:
        """What the models of a task forget, without that of earlier requests. Raises LookupError before it is known."""
        assert task.seed is not None
        forget, before = self.splits(task.cell).of(task.seed).forget, self.before(task.cell)
        return forget if before is None else np.setdiff1d(forget, self.splits(before).of(task.seed).forget)

    def task_id(self, task: Task) -> str:
        """A name for `task` that another command with the same intent arrives at too."""
        keys = self.keys[task.cell]
        if task.stage == "confidence":
            return f"{task.stage}-{self.watched_key(task).short}"  # forget sets share it
        if task.stage == "record":
            return f"{task.stage}-{self.record_key(task).short}"  # methods share it
        identity: list[Any] = [task.stage, self._cell_key(task).hash, task.method, task.seed]
        if task.method not in REFERENCES:
            method = self.methods[task.method]
            identity += [method.version, keys.result_set(self.sweep, method).hash]
        digest = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]
        seed = "" if task.seed is None else f"-seed{task.seed}"
        return f"{task.stage}-{task.method}{seed}-{digest}"

    def _cell_key(self, task: Task) -> CellKey:
        """Commands for other forget sets must find out that a reference which they share is being trained."""
        if task.stage != "reference":
            return self.keys[task.cell].cell_key
        assert task.seed is not None
        return self.keys[task.cell].trains_for(role_of(task), task.seed)

    def result_set(self, task: Task) -> str | None:
        """The table that rows of `task` belong to; None for references."""
        if task.method in REFERENCES:
            return None
        return self.keys[task.cell].result_set(self.sweep, self.methods[task.method]).short

    def expected_rows(self) -> list[dict[str, Any]]:
        """One entry per evaluation, references included: what the coverage table is held against."""
        return [
            {
                "result_set": self.result_set(task),
                "cell": self.keys[task.cell].cell_key.short,
                "dataset": self.sweep.cells[task.cell].dataset.name,
                "arch": self.sweep.cells[task.cell].arch.name,
                "forget": self.sweep.cells[task.cell].forget.titled(self.data(task.cell).class_names),
                "method": task.method,
                "seed": task.seed,
            }
            for task in self.tasks
            if task.stage == "evaluate" and self.sweep.cells[task.cell].forget.scored
        ]
