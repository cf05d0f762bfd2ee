"""One Optuna study of a cell, method and search seed, made of numbered slots.

A slot is one of the n trials that the study is to finish. It has its own sampler seed, and a trial that is lost or
erred is run again in the same slot. So with one worker a study that was killed and resumed makes the same trials as one
that was not, and with several workers the count of finished trials is exact.
"""

from __future__ import annotations

import datetime
import re
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from torch import nn

from deepunlearn.core import stopping
from deepunlearn.core.claims import Claims, this_process
from deepunlearn.core.errors import Diverged, NotApplicable
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Range, Value
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.running import Run
from deepunlearn.search.gain import GainWatch
from deepunlearn.search.looks import Fidelity, look_rows, looks_at, make_pruner, shares
from deepunlearn.search.objective import COMPONENTS, Losses, score, unattacked
from deepunlearn.search.samplers import generation_of, independent, make_sampler, sampler_attributes
from deepunlearn.search.slots import STOPPED, finished_slots, open_storage, storage_url, study_name, trials_wanted
from deepunlearn.search.together import Made, timed
from deepunlearn.stages.data import Rows
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.stages.unlearning import Start
from deepunlearn.together import Outcome, groups

ERRORS_ALIKE = 10  # after this many equal errors a study stops with that error
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
GIVEN_UP = "given up for dead meanwhile, and run by another worker"
FIXED = "fixed_params"  # where Optuna looks for what a trial is to have, as its enqueue_trial leaves it


class SlotStudy:
    """The trials of `method` on the originals of `seeds`, each on one, scored against the retrained model of that seed.

    start(seed): what they begin with where it is a model of the round before.
    """

    def __init__(
        self,
        experiment: Experiment,
        method: MethodConfig,
        search: SearchConfig,
        seeds: Sequence[int],
        *,
        start: Callable[[int], Start | None] = lambda _: None,
    ) -> None:
        self.experiment, self.method, self.search, self.seeds = experiment, method, search, seeds
        self.start = start
        first = start(seeds[0])
        self.key = experiment.keys.study(method, search, seeds[0], first.chosen_by if first else None, seeds[1:])
        self.name = study_name(self.key, experiment.cell, search)
        self.storage = open_storage(storage_url(search, experiment.results.search, self.name))
        directions = [StudyDirection.MINIMIZE] * (self._objectives() if search.objective == "four" else 1)
        optuna.create_study(storage=self.storage, study_name=self.name, directions=directions, load_if_exists=True)
        self._claims = Claims(experiment.results.search / "claims" / self.name)
        self._errors: Counter[str] = Counter()
        self._repeats = len(seeds) if self.key.stops_early else 1  # of the first start, each on another seed
        self._gains = GainWatch(self.key.ranges, self._repeats)

    def _objectives(self) -> int:
        """How many losses a trial has: one less where the attack is n/a."""
        data = self.experiment.split_data(self.seeds[0])
        return len(COMPONENTS) - (unattacked(data.labels, data.counted) is not None)

    def seed_of(self, slot: int) -> int:
        """The seed that a trial is on. A shared study draws it, so that each seed has as many trials, but for one."""
        turn, place = divmod(slot, len(self.seeds))
        return sorted(self.seeds, key=lambda seed: derive_seed32("turn", self.key.hash, turn, seed))[place]

    def run(self) -> None:
        """Finish slots until none is left that nobody else is at.

        Raises the error that occurred 10 times alike, NotApplicable at once, and Stopped between two trials.
        """
        label = f"{self.experiment.cell.name} {self.method.name} search seed {'-'.join(map(str, self.seeds))}: trial"
        self._consider_stopping()
        with self.experiment.progress.bar(label, self.search.trials) as bar:
            bar.advance(len(self.finished()))
            while slots := self._claim_some():
                try:
                    note = self._run_slots(slots)
                finally:
                    for slot in slots:
                        self._claims.release(slot_name(slot))
                self._consider_stopping()
                bar.advance(len(self.finished()) - bar.done, note)
                stopping.check()
        finished = self.finished().values()
        if len(finished) == self.wanted:
            states = Counter(trial.state.name.lower() for trial in finished)
            counts = [f"{count} {state}" for state, count in states.items()]
            if self.search.sampler == "nsga3":
                counts.append(f"{sum(generation_of(trial) > 0 for trial in finished)} of them evolved")
            self.experiment.progress.say(f"{label}s finished: {', '.join([*counts, *self.why_stopped])}")

    @property
    def _id(self) -> int:
        return self.storage.get_study_id_from_name(self.name)

    @property
    def wanted(self) -> int:
        """How many trials count: `search.trials`, or fewer after the study has stopped early."""
        return trials_wanted(self.storage, self._id, self.search)

    @property
    def why_stopped(self) -> list[str]:
        """In words, if it has stopped early."""
        stopped = self.storage.get_study_user_attrs(self._id).get(STOPPED)
        return [stopped["why"]] if stopped else []

    def _consider_stopping(self) -> None:
        """Whoever finds that it may stop says so in the storage, for all workers, and all find the same.

        Trials that others are at then, in later slots, do not count.
        """
        if self.key.stops_early and not self.why_stopped and (stop := self._gains.stop(self.finished())):
            self.storage.set_study_user_attr(self._id, STOPPED, {**asdict(stop), "why": str(stop)})

    def trials(self) -> list[FrozenTrial]:
        return self.storage.get_all_trials(self._id, deepcopy=False)

    def finished(self) -> dict[int, FrozenTrial]:
        """Finished trials by slot: complete, pruned or diverged; not those lost or stopped by an error."""
        return finished_slots(self.trials(), self.wanted)

    # ---------------------------------------------------------------------------------------------------------- slots

    def _claim(self) -> int | None:
        """The first slot that is neither finished nor being run, now ours; None when there is none."""
        done = self.finished()
        for slot in range(self.wanted):
            if slot not in done and self._claims.take(slot_name(slot)):
                if slot not in self.finished():  # another worker may have finished it since we looked
                    self._bury(slot)
                    return slot
                self._claims.release(slot_name(slot))
        return None

    def _claim_some(self) -> list[int]:
        """Slots that are ours now: one, or as many as are to run together and do not learn from each other."""
        most = 1
        if self._stacks:
            running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING]
            most = min(self.search.together, independent(self.search, self.finished().values(), running))
        slots: list[int] = []
        while len(slots) < most and (slot := self._claim()) is not None:
            slots.append(slot)
        return slots

    @cached_property
    def _stacks(self) -> bool:
        """Whether trials run together where that is asked for. Says why if they do not."""
        if self.search.together == 1:
            return False
        params = self.method.complete({})
        start = self.start(self.seeds[0])
        why = self.experiment.apart(self.method, params, self.seeds[0], earlier=start.model if start else None)
        if why is not None:
            self.experiment.progress.say(
                f"{self.experiment.cell.name} {self.method.name}: trials run one by one: {why}"
            )
        return why is None

    def _bury(self, slot: int) -> None:
        """End trials of this slot that a dead worker left running; they do not count."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and trial.user_attrs.get("slot") == slot:
                with suppress(UpdateFinishedTrialError):  # its worker was not dead after all, and has just finished it
                    self.storage.set_trial_user_attr(trial._trial_id, "outcome", "lost")
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    # --------------------------------------------------------------------------------------------------------- trials

    def _start(self, slot: int) -> tuple[optuna.Study, Trial]:
        """A new running trial, marked with slot and owner from its first moment on.

        The study is loaded anew, so that the sampler sees all trials and its randomness depends on the slot alone.
        """
        finished = self.finished().values()
        sampler = make_sampler(self.search, derive_seed32("slot", self.key.hash, slot), finished)
        pruner = make_pruner(self.search, self.method.first_look)
        study = optuna.load_study(study_name=self.name, storage=self.storage, sampler=sampler, pruner=pruner)
        marks = {"slot": slot, "seed": self.seed_of(slot), "owner": str(this_process())}
        told = sampler_attributes(self.search, finished)
        for origin, values in self._starts()[slot : slot + 1]:
            marks["origin"] = origin
            told[FIXED] = self.method.to_search(values, self.key.ranges, self.experiment.blocks)
        template = create_trial(state=TrialState.RUNNING, user_attrs=marks, system_attrs=told)
        template.datetime_start = datetime.datetime.now()
        trial_id = self.storage.create_new_trial(self.storage.get_study_id_from_name(self.name), template)
        study.get_trials(deepcopy=False)  # its cache of a database learns of the trial; a sampler that draws looks too
        return study, Trial(study, trial_id)

    def _starts(self) -> list[tuple[str, dict[str, Value]]]:
        """Where they are from and values, of the first trials."""
        starts = list(self.key.starts.items())
        return starts[:1] * (self._repeats - 1) + starts

    def _run_slots(self, slots: Sequence[int]) -> str:
        """The last one's outcome, in words."""
        if len(slots) == 1:
            return self._run_slot(*self._start(slots[0]), self._score)
        started, drawn = self._drawn([self._start(slot) for slot in slots])
        note = "" if started else GIVEN_UP
        for seed in dict.fromkeys(trial.user_attrs["seed"] for _, trial in started):
            of_seed = [place for place, (_, trial) in enumerate(started) if trial.user_attrs["seed"] == seed]
            for group in groups(self.method, [drawn[place] for place in of_seed]):
                chosen = [of_seed[place] for place in group]
                note = self._run_group([started[place] for place in chosen], [drawn[place] for place in chosen], seed)
        return note

    def _drawn(
        self, started: Sequence[tuple[optuna.Study, Trial]]
    ) -> tuple[list[tuple[optuna.Study, Trial]], list[dict[str, Value]]]:
        """Those of `started` that are still ours, and their values."""
        ours: list[tuple[optuna.Study, Trial]] = []
        values = []
        for study, trial in started:
            with suppress(UpdateFinishedTrialError):  # given up for dead meanwhile
                values.append(self._draw(trial))
                ours.append((study, trial))
        return ours, values

    def _run_group(
        self, started: Sequence[tuple[optuna.Study, Trial]], many: Sequence[dict[str, Value]], seed: int
    ) -> str:
        """Trials that are made together, and scored one by one. What goes wrong for all is the outcome of each."""
        if len(started) == 1:
            return self._run_slot(*started[0], timed(self._score))
        made = Made(lambda: self._unlearned_together(many, seed))
        epochs = [self.method.epochs_of(params) for params in many]
        note = ""
        for place, (study, trial) in enumerate(started):

            def score(trial: Trial, place: int = place) -> Losses:
                trial.set_user_attr("together", len(many))
                return self._scored(trial, many[place], *made.at(place))

            note = self._run_slot(study, trial, timed(score, made.seconds * epochs[place] / sum(epochs)))
        return note

    def _unlearned_together(self, many: Sequence[dict[str, Value]], seed: int) -> list[Outcome]:
        start = self.start(seed)
        return self.experiment.unlearn_together(self.method, many, seed, earlier=start.model if start else None)

    def _run_slot(self, study: optuna.Study, trial: Trial, score: Callable[[Trial], Losses]) -> str:
        try:
            return self._finish_slot(study, trial, score)
        except UpdateFinishedTrialError:
            return GIVEN_UP

    def _finish_slot(self, study: optuna.Study, trial: Trial, score: Callable[[Trial], Losses]) -> str:
        try:
            losses = score(trial)
        except UpdateFinishedTrialError:
            raise
        except optuna.TrialPruned as pruned:
            study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            return f"pruned {pruned}"
        except Diverged as error:
            self._fail(study, trial, "diverged", error)
            return "diverged"
        except NotApplicable as error:
            self._fail(study, trial, "error", error)
            raise
        except Exception as error:  # recorded with its traceback, and raised when it persists
            self._fail(study, trial, "error", error)
            self._errors[_alike(error)] += 1
            if max(self._errors.values()) >= ERRORS_ALIKE:
                raise
            return "error"
        values = losses.defined if self.search.objective == "four" else losses.sum
        study.tell(trial, values, skip_if_finished=True)
        return f"sum {losses.sum:.3f}"

    def _fail(self, study: optuna.Study, trial: Trial, outcome: str, error: BaseException) -> None:
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        if outcome == "error":
            trial.set_user_attr("traceback", "".join(traceback.format_exception(error))[-20_000:])
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _draw(self, trial: Trial) -> dict[str, Value]:
        searched = {name: suggest(trial, name, limits) for name, limits in self.key.ranges.items()}
        params = self.method.from_search(searched, self.key.ranges, self.experiment.blocks)
        trial.set_user_attr("params", params)
        return params

    def _score(self, trial: Trial) -> Losses:
        params, seed = self._draw(trial), trial.user_attrs["seed"]
        model, run = self._unlearned(params, seed, self._watcher(trial, params, seed))
        return self._scored(trial, params, model, run)

    def _scored(self, trial: Trial, params: dict[str, Value], model: nn.Module, run: Run) -> Losses:
        seed = trial.user_attrs["seed"]
        losses = score_model(self.experiment, model, seed)
        epochs = self.method.epochs_of(params)
        Fidelity(epochs, epochs, self._samples(seed), losses.sum).tell(trial)
        trial.set_user_attr("losses", losses.four)
        trial.set_user_attr("seconds", run.seconds)
        return losses

    def _unlearned(
        self, params: dict[str, Value], seed: int, on_epoch: Callable[[int, nn.Module], None] | None
    ) -> tuple[nn.Module, Run]:
        start = self.start(seed)
        return self.experiment.unlearn(self.method, params, seed, on_epoch, earlier=start.model if start else None)

    def _watcher(self, trial: Trial, params: dict[str, Value], seed: int) -> Callable[[int, nn.Module], None] | None:
        """Scores a trial on the way to its end, and ends a hopeless one; not those that say how much seeds differ."""
        slot, unpruned = trial.user_attrs["slot"], range(self._repeats if self.key.stops_early else 0)
        epochs, samples = self.method.epochs_of(params), self.search.look_samples
        looks = looks_at(shares(self.search, self.method.first_look), epochs)

        def look(epoch: int, model: nn.Module) -> None:
            if epoch in looks:
                losses = score_model(self.experiment, model, seed, samples)
                fidelity = Fidelity(epoch, epochs, self._samples(seed, samples), losses.sum)
                fidelity.tell(trial)
                trial.report(losses.sum, looks[epoch])
                if trial.should_prune() and slot not in unpruned:
                    raise optuna.TrialPruned(str(fidelity))

        return look if looks else None

    def _samples(self, seed: int, samples: int | None = None) -> int:
        """How many a score is of, all parts together."""
        rows, labels = look_at(self.experiment, seed, samples), self.experiment.split_data(seed).labels
        return sum(len(labels[part] if rows is None else rows[part]) for part in SEARCH_PARTS)


def _alike(error: Exception) -> str:
    """What errors of one cause have in common: numbers, addresses and, of infrastructure, files differ by trial."""
    if infrastructure(error):
        return "infrastructure"
    return f"{type(error).__name__}: {NUMBER.sub('0', str(error))}"


def slot_name(slot: int) -> str:
    return f"{slot:04d}"


def score_model(experiment: Experiment, model: nn.Module, seed: int, samples: int | None = None) -> Losses:
    """The four losses of a model in memory; samples: at most of each part, the same for all models of `seed`.

    Raises Diverged where its logits are not finite.
    """
    rows, split_data = look_at(experiment, seed, samples), experiment.split_data(seed)
    retrained = experiment.retrained_accuracies(seed, rows)
    if rows is not None:
        split_data = split_data.among(rows)
    logits = experiment.predict(model, split_data, SEARCH_PARTS)
    return score(logits, retrained, split_data.labels, split_data.counted, mia_seed(experiment, seed))


def look_at(experiment: Experiment, seed: int, samples: int | None) -> Rows | None:
    """Positions of the samples of each part that a look scores, the same for all models of `seed`; None: all."""
    if samples is None:
        return None
    data = experiment.split_data(seed)
    return look_rows(data.labels, data.counted, samples, derive_seed32("look", experiment.keys.randomness_of(seed)))


def mia_seed(experiment: Experiment, seed: int) -> int:
    """What the attack of a trial draws by: the same for all models of `seed`."""
    return derive_seed32("mia-val", experiment.keys.randomness_of(seed))


def suggest(trial: Trial, name: str, limits: Range) -> Any:
    """Draw `name` from `limits`."""
    if limits.choices is not None:
        return trial.suggest_categorical(name, limits.choices)
    assert limits.low is not None and limits.high is not None
    if isinstance(limits.low, int) and isinstance(limits.high, int) and not limits.log:
        return trial.suggest_int(name, limits.low, limits.high)
    return trial.suggest_float(name, limits.low, limits.high, log=limits.log)
