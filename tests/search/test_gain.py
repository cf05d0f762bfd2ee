"""When a study has nothing more to gain than seeds differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from deepunlearn.core.params import Range
from deepunlearn.launch.states import StoredStudy
from deepunlearn.search import study as study_module
from deepunlearn.search.gain import FEWEST, IN_A_ROW, GainWatch, expected_gain, noise_of, places_of
from deepunlearn.search.objective import Losses
from deepunlearn.search.slots import STOPPED, stored_study
from deepunlearn.search.study import SlotStudy
from tests.search.arithmetic import METHOD, STARTS, FakeExperiment, search, values

RANGES = {"lr": Range(low=1e-4, high=1.0, log=True), "batch_size": Range(choices=(64, 128, 256))}
LINE = {"x": Range(low=0.0, high=1.0)}


def test_where_values_lie_in_their_ranges() -> None:
    assert places_of(RANGES, {"lr": 0.01, "batch_size": 256}) == pytest.approx([0.5, 5 / 6])
    assert places_of({"epochs": Range(low=3, high=3)}, {"epochs": 3}) == [0.0]


def test_the_expected_gain_falls_where_the_optimum_was_tried_and_rises_with_what_is_unknown() -> None:
    def gain(places: list[float]) -> float:
        x = np.array(places)
        return expected_gain(LINE, x[:, None], (x - 0.5) ** 2)

    everywhere = gain(np.linspace(0, 1, 12).tolist())
    half = gain(np.linspace(0.6, 1, 12).tolist())
    assert 0 <= everywhere < 0.005
    assert half > 2 * everywhere, "it falls towards the part that was not tried"
    x = np.linspace(0.6, 1, 12)
    scaled = expected_gain(LINE, x[:, None], 100 * (x - 0.5) ** 2 + 7)
    assert scaled == pytest.approx(100 * half, rel=1e-3), "in units of the losses"


def test_sums_that_are_noise_promise_less_than_the_noise() -> None:
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(20, 1))
    assert expected_gain(LINE, x, generator.normal(size=20)) < 1


def done(x: float, value: float | None) -> FrozenTrial:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    trial = create_trial(state=state, value=value)
    trial.params = {"x": x}
    return trial


def test_noise_is_what_equal_values_differ_by_and_not_known_of_one() -> None:
    assert noise_of([done(0.2, 1.0), done(0.2, 3.0)]) == pytest.approx(2**0.5)
    assert noise_of([done(0.2, 1.0), done(0.2, None)]) is None


def test_it_stops_at_the_first_place_whoever_asks_and_only_after_slots_without_a_gap() -> None:
    sums = [0.3, 0.34, *((x - 0.5) ** 2 + 0.01 for x in np.linspace(0, 1, 16))]
    trials = {
        slot: done(x, value)
        for slot, (x, value) in enumerate(zip([0.2, 0.2, *np.linspace(0, 1, 16)], sums, strict=True))
    }
    stop = GainWatch(LINE, 2).stop(trials)
    assert stop is not None and FEWEST + IN_A_ROW - 1 <= stop.after < 18
    assert stop.gain < stop.noise == pytest.approx(0.04 / 2**0.5)
    step_by_step = GainWatch(LINE, 2)
    judged = [step_by_step.stop({slot: trials[slot] for slot in range(count)}) for count in range(1, 19)]
    assert [one is None for one in judged] == [True] * (stop.after - 1) + [False] * (19 - stop.after)
    assert set(judged[stop.after - 1 :]) == {stop}
    del trials[stop.after - 1]
    assert GainWatch(LINE, 2).stop(trials) is None
    far = {
        slot: done(trial.params["x"], (trial.value or 0) * (1e-6 if slot < 2 else 1)) for slot, trial in trials.items()
    }
    assert GainWatch(LINE, 2).stop(far) is None, "seeds that do not differ leave much to gain"


SEEDS = (10, 11)
STOPS = {"stops_early": True, "trials": 22, "storage": "journal"}


def bumpy(experiment: Any, x: float, seed: int, samples: int | None = None) -> Losses:
    """Seeds differ by 0.2; x matters by less."""
    return Losses(0.1 + 0.2 * (seed == 11) + abs(x - 0.3) / 100, 0.0, 0.0, 0.0)


def start(root: Path, behave: Any = lambda x: None, **more: Any) -> SlotStudy:
    settings = search(**{**STOPS, **more})
    return SlotStudy(FakeExperiment(root, settings, behave, STARTS), METHOD, settings, SEEDS)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_study_that_stops_says_why_counts_exactly_and_goes_the_same_way_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "score_model", bumpy)
    study = start(tmp_path / "unbroken")
    study.run()
    count = len(study.finished())
    assert FEWEST + IN_A_ROW - 1 <= count < 22 and len(study.trials()) == study.wanted == count
    first = [study.finished()[slot] for slot in range(3)]
    assert [trial.user_attrs["origin"] for trial in first] == ["defaults", "defaults", "digits/resnet18"]
    assert {trial.user_attrs["seed"] for trial in first[:2]} == set(SEEDS), "how much seeds differ is known"
    (why,) = study.why_stopped
    assert why.startswith(f"stopped after {count} trials") and "between seeds" in why
    stored = stored_study(study.key, study.experiment.cell, study.search, study.experiment.results)
    assert isinstance(stored, StoredStudy) and (stored.trials, len(stored.finished)) == (count, count)
    again = start(tmp_path / "unbroken")
    again.run()
    assert len(again.trials()) == count, "nothing is left to do"
    late = start(tmp_path / "unbroken")
    late._run_slots([count])  # as by a worker that was at it when another one found that the study may end
    assert len(late.finished()) == count, "it does not count"
    died = 0

    def interrupted(x: float) -> None:
        nonlocal died
        died += 1
        if died in (3, count):
            raise KeyboardInterrupt

    for _ in range(3):
        broken = start(tmp_path / "broken", interrupted)
        try:
            broken.run()
        except KeyboardInterrupt:
            for claim in (tmp_path / "broken" / "search" / "claims").rglob("*"):
                if claim.is_file():
                    claim.unlink()
    assert values(broken) == values(study) and broken.why_stopped == study.why_stopped
    broken.storage.set_study_user_attr(broken._id, STOPPED, None)  # killed between the last trial and the judgement
    start(tmp_path / "broken").run()
    assert broken.why_stopped == study.why_stopped and len(broken.finished()) == count


@pytest.mark.slow
def test_trials_that_say_how_much_seeds_differ_are_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "score_model", bumpy)
    study = start(tmp_path, prune=True, pruner="halving", trials=8)
    study.run()
    states = [trial.state for _, trial in sorted(study.finished().items())]
    assert states[:2] == [TrialState.COMPLETE] * 2 and TrialState.PRUNED in states[2:]
