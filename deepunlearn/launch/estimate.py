"""What a plan would cost, from measured speeds and the number of images each task goes through. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from deepunlearn.cells import REFERENCES
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Range, Value
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.sharding import epochs_of_slices
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import Speed, SpeedFile, speed_name
from deepunlearn.launch.task import Stage, Task
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.search.looks import course

TASK_OVERHEAD = 0.3  # seconds: loading, hashing and writing results
SCORING_OVERHEAD = 0.2  # seconds: a model that is stored, against another
LOADING_OVERHEAD = 0.02  # seconds: the outputs of a model
MEASURE_OVERHEAD = 0.01  # seconds: a measure of outputs, and storing it
MODEL_PASSES = 2  # over all parts, of measures that look at networks
SLOW_EPOCHS = 50  # on D_F, of measures that train: half of the most that there may be
TRIAL_OVERHEAD = 0.25  # seconds: attack, storage
CALIBRATION_STEPS = 55  # warm-up included; once per cell and process
INFERENCE_RATIO = 3  # images per second of inference to those of training, where neither was measured
PRUNE_FACTOR = 0.9  # of the median: hopeless trials end early, but each is scored once or twice more on the way


def cluster_speeds(planner: Planner, launcher: SlurmLauncher) -> list[Speed]:
    """Of each cell on the nodes: what jobs have measured there, else `launcher.images_per_second`."""
    known = SpeedFile(planner.results.cache)
    assumed = Speed(launcher.images_per_second, INFERENCE_RATIO * launcher.images_per_second)
    gpu = bool(launcher.gpus or launcher.gres)
    kernels = planner.sweep.runtime.cpu_kernels
    cells = enumerate(planner.sweep.cells)
    names = [speed_name(cell, planner.network_inputs(number), "|", kernels).split("|") for number, cell in cells]
    stored = [known.like(start, end, gpu) for start, end in names]
    return [timed.speed if timed else assumed for timed in stored]


class Estimator:
    """Seconds of tasks, given the speed of each cell."""

    def __init__(self, planner: Planner, speeds: list[Speed]) -> None:
        self.planner, self.speeds = planner, speeds
        self._took: dict[tuple[str, int, str], float | None] = {}  # measure, cell and method -> seconds of one model
        self._first: dict[tuple[str, int, str], int | None] = {}  # the same -> the seed that is measured first

    def task(self, task: Task) -> float:
        """Seconds that `task` takes if nothing of it is done; of a search, only the trials that are missing."""
        sizes, speed = self.planner.sizes(task.cell), self.speeds[task.cell]
        everything = sum(sizes.values()) / speed.predict
        if task.stage in ("confidence", "record"):
            images = self._train_epochs(task) * (sizes["retain"] + sizes["forget"])
            if task.stage == "record" and self.planner.methods[task.method].needs == "shards":
                images = self._slices(task, again=False)
            looks = 1 / speed.predict if task.stage == "confidence" else 0.0
            return images * (1 / speed.train + looks) + TASK_OVERHEAD
        if task.stage == "reference":
            images = sizes["retain"] + (sizes["forget"] if task.method == "original" else 0)
            epochs = 0 if self._is_given(task) or self._comes_with_confidence(task) else self._train_epochs(task)
            return images * epochs / speed.train + everything + TASK_OVERHEAD
        if task.stage in ("search", "select"):
            each = self._trial if task.stage == "search" else self._whole_trial
            return self._runs(task) * each(replace(task, stage="search"))
        if task.stage == "evaluate" and task.method not in REFERENCES and not self.planner.has_model(task):
            return self._unlearning(task) + everything + TASK_OVERHEAD
        if task.stage == "measure":
            return LOADING_OVERHEAD + sum(self._measuring(one, task, everything) for one in self.planner.lacking(task))
        return SCORING_OVERHEAD

    def _runs(self, task: Task) -> int:
        """How many trials a search lacks, or how many models a selection makes."""
        search, cell = self.planner.sweep.search, self.planner.sweep.cells[task.cell]
        if task.stage == "search":
            return self.planner.trials_missing(task)
        return search.candidates * len(self.planner.sweep.search_seeds(cell)) if search.selection == "robust" else 0

    def _measuring(self, measure: Measure, task: Task, everything: float) -> float:
        """Seconds of one measure of a model: what it took of others here, else by what it needs."""
        known = measure.name, task.cell, task.method
        if measure.once and self._first.setdefault(known, task.seed) != task.seed:
            return MEASURE_OVERHEAD
        if known not in self._took:
            self._took[known] = self.planner.measuring_seconds(measure, task)
        if (took := self._took[known]) is not None:
            return took
        passes = MODEL_PASSES * everything if "models" in measure.needs else 0.0
        calls = self._unlearning(task) if "call" in measure.needs else 0.0
        sizes, speed = self.planner.sizes(task.cell), self.speeds[task.cell]
        trained = SLOW_EPOCHS * sizes["forget"] / speed.train if measure.slow and "models" in measure.needs else 0.0
        return MEASURE_OVERHEAD + passes + calls + trained

    def stage(self, stage: Stage, cell: int | None = None) -> float:
        """Seconds of everything of `stage`, in `cell` or all cells, that is not done."""
        tasks = [task for task in self.planner.tasks if task.stage == stage and cell in (None, task.cell)]
        open_tasks = [task for task in tasks if not self.planner.is_done(task)]
        seconds = sum(self.task(task) for task in open_tasks)
        timed = {
            task.cell
            for task in open_tasks
            if task.stage == "evaluate"
            and self.planner.sweep.cells[task.cell].forget.scored
            and not self.planner.has_model(task)
        }
        return seconds + sum(self._calibration(cell) for cell in timed)

    def _is_given(self, task: Task) -> bool:
        """Whether it is an original that is there, and only gives its outputs."""
        return task.method == "original" and self.planner.sweep.cells[task.cell].given is not None

    def _comes_with_confidence(self, task: Task) -> bool:
        """Whether it is an original whose training is to be watched: it is kept then."""
        if task.method != "original" or not self.planner.watched:
            return False
        assert task.seed is not None
        key = self.planner.keys[task.cell].reference("original", task.seed)
        watched = self.planner.watched.get(key.hash)
        return watched is not None and not self.planner.is_done(watched)

    def _train_epochs(self, task: Task) -> int:
        return self.planner.sweep.cells[task.cell].train.epochs

    def _calibration(self, cell: int) -> float:
        return CALIBRATION_STEPS * self.planner.sweep.cells[cell].train.batch_size / self.speeds[cell].train

    def _trial(self, task: Task) -> float:
        search = self.planner.sweep.search
        if search.pruner == "median":
            return self._whole_trial(task, PRUNE_FACTOR if search.prune else 1.0)
        method = self.planner.methods[task.method]
        known = course(search, method.first_look, max(1, round(self._epochs(task, method))))
        scoring = known.looks * self._scoring(task, search.look_samples) + known.finished * self._scoring(task)
        return self._unlearning(task, known.epochs) + scoring + TRIAL_OVERHEAD

    def _whole_trial(self, task: Task, share: float = 1.0) -> float:
        return self._unlearning(task, share) + self._scoring(task) + TRIAL_OVERHEAD

    def _scoring(self, task: Task, samples: int | None = None) -> float:
        """Of so many samples of each part at most; None: of all."""
        sizes = self.planner.sizes(task.cell)
        return sum(min(sizes[part], samples or sizes[part]) for part in SEARCH_PARTS) / self.speeds[task.cell].predict

    def _unlearning(self, task: Task, share: float = 1.0) -> float:
        """share: of its epochs that are run."""
        method = self.planner.methods[task.method]
        if method.needs == "shards":
            return share * self._slices(task, again=True) / self.speeds[task.cell].train
        images = self.planner.sizes(task.cell)["retain"]
        return method.cost(share * self._epochs(task, method)) * images / self.speeds[task.cell].train

    def _slices(self, task: Task, *, again: bool) -> int:
        """Images that the slices of an ensemble go through; again: of those that are retrained when it forgets."""
        epochs, sizes = self._train_epochs(task), self.planner.sizes(task.cell)
        try:
            placement, gone, asked = self.planner.placement(task)
        except LookupError:  # it is not known yet what is forgotten
            return epochs * (sizes["retain"] + sizes["forget"])
        first = placement.touched(gone, asked) if again else dict.fromkeys(range(placement.shards), 0)
        return epochs_of_slices(epochs, placement.slices) * placement.passes(first, gone & again)

    def _epochs(self, task: Task, method: MethodConfig) -> float:
        """Epochs of the known hyper-parameters, else the middle of the searched range; steps as epochs."""
        chosen = None if task.stage == "search" else self.planner.params(task.cell, task.method)
        known = method.fixed if chosen is None else chosen
        ranges = self.planner.keys[task.cell].ranges(method, self.planner.sweep.search)

        def middle(name: str) -> float:
            return _middle(name, known, ranges, method)

        stepped = sum(
            middle(name) * middle(f"{name.removesuffix('steps')}batch_size") for name in method.with_role("steps")
        )
        epochs = sum(middle(name) for name in method.with_role("epochs"))
        return epochs + stepped / self.planner.sizes(task.cell)["retain"] or 1.0


def _middle(name: str, known: dict[str, Value], ranges: dict[str, Range], method: MethodConfig) -> float:
    if name in known:
        return float(known[name])
    limits = ranges.get(name)
    if limits is None or limits.low is None or limits.high is None:
        return float(method.defaults[name])
    return (limits.low + limits.high) / 2
