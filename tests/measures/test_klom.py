"""KLoM and the forgetting score over report seeds: known answers, few models, a sweep and its table."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepunlearn.measures import forgetting_score, klom
from deepunlearn.metrics import added, forgetting
from deepunlearn.metrics.accuracy import accuracy
from deepunlearn.metrics.added import Group, ReadWhenAsked
from deepunlearn.metrics.klom import klom as per_sample
from deepunlearn.ulira.scores import scaled_confidence
from tests.commands import run_command, tree

SIZES = {"retain": 40, "forget": 20, "val": 15, "test": 30}
LABELS = {part: np.arange(size) % 3 for part, size in SIZES.items()}
Models = list[dict[str, np.ndarray]]


def models(count: int, favour: float, seed: int) -> Models:
    """Logits of models that favour the true label by this much on D_F, and by 2 elsewhere."""
    generator = np.random.default_rng(seed)
    return [
        {
            part: generator.normal(size=(size, 3)) + (favour if part == "forget" else 2.0) * np.eye(3)[LABELS[part]]
            for part, size in SIZES.items()
        }
        for _ in range(count)
    ]


def test_each_part_s_mean_is_that_of_its_samples() -> None:
    own, other = models(10, 4.0, 0), models(10, 2.0, 1)
    found = klom.measure(Group(LABELS, 0, own, other))
    for part, letter in (("forget", "F"), ("retain", "R"), ("val", "V")):
        sides = [np.stack([scaled_confidence(one[part], LABELS[part]) for one in side]) for side in (own, other)]
        expected = per_sample(*(side.astype(np.float32) for side in sides))
        assert found[f"KLoM_{letter}"] == pytest.approx(expected.mean())
        assert found[f"KLoM_{letter}_95"] == pytest.approx(np.quantile(expected, 0.95))
    low, value, high, chance = (found[f"KLoM_F{end}"] for end in ("_low", "", "_high", "_chance"))
    assert low is not None and value is not None and high is not None and chance is not None
    assert low < value < high and chance < value


def test_the_score_is_the_points_times_what_the_models_are_good_for() -> None:
    own, other = models(12, 4.0, 0), models(12, 2.0, 1)
    for one in own:
        one["retain"] = one["retain"] / 4 + models(1, 0.0, 5)[0]["forget"][:1]
    found = forgetting_score.measure(Group(LABELS, 0, own, other))
    phi = [np.stack([scaled_confidence(one["forget"], LABELS["forget"]) for one in side]) for side in (own, other)]
    alone = forgetting.points(forgetting.epsilons(*phi)).mean()
    rates = [
        [np.mean([accuracy(one[part], LABELS[part]) for one in side]) for part in ("retain", "test")]
        for side in (own, other)
    ]
    assert found["forgetting"] == pytest.approx(alone)
    assert found["forgetting_score"] == pytest.approx(alone * rates[0][0] / rates[1][0] * rates[0][1] / rates[1][1])
    assert found["epsilon_cap"] == 3 and found["forgetting_models"] == 12


@pytest.mark.parametrize("measure", [klom.measure, forgetting_score.measure])
def test_the_order_of_seeds_plays_no_part_but_pairs_stay_together(measure: object) -> None:
    assert callable(measure)
    own, other = models(11, 3.0, 0), models(11, 2.0, 1)
    one, again = measure(Group(LABELS, 0, own, other)), measure(Group(LABELS, 0, own[::-1], other[::-1]))
    assert {name: value for name, value in one.items() if "chance" not in name} == pytest.approx(
        {name: value for name, value in again.items() if "chance" not in name}
    )


def test_few_models_have_none_and_say_how_many_there_are() -> None:
    found = klom.measure(Group(LABELS, 0, models(9, 3.0, 0), models(9, 2.0, 1)))
    assert found.pop("KLoM_models") == 9 and set(found.values()) == {None}
    found = forgetting_score.measure(Group(LABELS, 0, models(3, 3.0, 0), models(3, 2.0, 1)))
    assert found.pop("forgetting_models") == 3 and set(found.values()) == {None}


def lazily(asked: list[int]) -> ReadWhenAsked:
    """Three models, each of four numbers (32 bytes); `asked` gets their numbers as they are read."""

    def read(number: int) -> dict[str, np.ndarray]:
        asked.append(number)
        return {"forget": np.full(4, float(number))}

    return ReadWhenAsked([partial(read, number) for number in range(3)])


def test_models_are_read_when_they_are_asked_for_and_kept() -> None:
    asked: list[int] = []
    lazy = lazily(asked)
    assert len(lazy) == 3 and not asked
    assert [one["forget"][0] for one in lazy[1:]] == [1, 2] and asked == [1, 2]
    assert lazy[2]["forget"] is lazy[2]["forget"] and asked == [1, 2, 2], "a part of the models keeps its own"
    with pytest.raises(ValueError, match="read-only"):
        lazy[2]["forget"] += 1


def test_models_that_are_too_large_together_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added, "KEPT_BYTES", 3 * 32 - 1)
    asked: list[int] = []
    lazy = lazily(asked)
    assert [lazy[1]["forget"][0], lazy[1]["forget"][0]] == [1, 1] and asked == [1, 1]


SWEEP = (
    "dataset=digits", "dataset.limit=300", "arch=smallnet", "method=ft,ga", "train.epochs=1", "search=none",
    "runtime.threads=1",
)  # fmt: skip


@pytest.mark.slow
def test_a_sweep_has_them_by_method_and_more_seeds_make_them_anew(tmp_path: Path) -> None:
    seeds = "seeds=[0,1,2,3]"
    ran = run_command("sweep", tmp_path, *SWEEP, seeds, "measures=[klom,forgetting_score]")
    assert ran.returncode == 0, ran.stderr
    groups = tmp_path / "results/store/digits/smallnet/groups"
    assert {path.name for path in groups.iterdir()} == {"ft", "ga"}
    before = tree(tmp_path / "results" / "store")
    assert "nothing to do" in run_command("sweep", tmp_path, *SWEEP, seeds, "measures=[klom,forgetting_score]").stdout
    assert tree(tmp_path / "results" / "store") == before
    table = run_command("tables", tmp_path).stdout
    line = next(line for line in table.splitlines() if line.startswith("| FT") and "needs" in line)
    assert "needs 10 seeds" in line and "(chance" in line
    shutil.rmtree(groups)
    ran = run_command("measure", tmp_path, "measures=[forgetting_score]")
    assert ran.returncode == 0, ran.stderr
    assert len(list(groups.glob("*/*"))) == 2
    shutil.copytree(tmp_path, tmp_path / "copy")
    shutil.rmtree(next((tmp_path / "copy/results/store/digits/smallnet/unlearned/ga").iterdir()))
    told = run_command("measure", tmp_path / "copy", "measures=[klom]").stdout
    assert "klom of digits/smallnet ga need the models of all its seeds" in told
    ran = run_command("sweep", tmp_path, *SWEEP, "seeds=[0,1,2,3,4]", "measures=[forgetting_score]")
    assert ran.returncode == 0 and len(list(groups.glob("*/*"))) == 4, ran.stderr
    assert run_command("tables", tmp_path).returncode == 0
    rows = pd.read_csv(tmp_path / "results/tables/seeds.csv")
    assert set(rows.loc[rows["method"] == "ft", "forgetting_models"]) == {5}
