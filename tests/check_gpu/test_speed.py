"""The figures of speed are made of what was timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.check_gpu import speed, where
from deepunlearn.check_gpu.where import Size, Where
from deepunlearn.launch.speed_file import Speed, Timed
from tests.launch.test_speed import QUIET

HERE = Where("cpu")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "ON_CPU", Size(batch=4, steps=1, repeats=1, images=40, workers=(1,), rate=64))
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    speed.rate.cache_clear()


@pytest.mark.slow
def test_a_step_is_held_against_a_bare_loop_and_against_the_floor() -> None:
    figures = {name: str(value) for name, value in speed.steps(HERE, "resnet18", "fp32").figures.items()}
    ours, bare, plain = (float(figures[f"{name}, ms"]) for name in ("ours", "bare loop", "plain network"))
    assert float(figures["ours / bare"]) == pytest.approx(ours / bare, abs=0.02)
    assert float(figures["plain / ours"]) == pytest.approx(plain / ours, rel=0.05)
    assert float(figures["images/s"].replace(",", "")) == pytest.approx(4 / ours * 1000, rel=0.05, abs=1)
    assert (figures["at most 1.03"] == "yes") == (float(figures["ours / bare"]) <= 1.03)
    operations = 3 * 2 * 0.037e9 * 4  # of a step on 4 images, from the network's 0.037 GMAC an image
    assert float(figures["floor, ms"]) == pytest.approx(1000 * operations / speed.rate(HERE, "fp32"), rel=0.1)


@pytest.mark.slow
def test_cifar10_is_estimated_without_its_images(tmp_path: Path) -> None:
    outcome = speed.estimate(HERE, "smallnet", "fp32", tmp_path)
    figures = {name: float(str(value).replace(",", "")) for name, value in outcome.figures.items()}
    assert figures["an original, s"] > figures["a trial, s"] > 0
    assert figures["trials per hour"] == pytest.approx(3600 / figures["a trial, s"], rel=0.1, abs=1)


@pytest.mark.slow
def test_an_estimate_that_is_made_anew_is_timed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[float] = []
    given = Timed(Speed(1000.0, 4000.0), QUIET)
    monkeypatch.setattr("deepunlearn.launch.speed.measure", lambda probe, seconds: timed.append(seconds) or given)
    for _ in range(2):
        speed.estimate(HERE, "smallnet", "fp32", tmp_path)
    assert len(timed) == 2


def test_the_parts_have_both_networks_in_both_precisions(tmp_path: Path) -> None:
    names = {part.name for part in speed.listed(HERE, tmp_path)}
    assert names == {
        f"{group}/{arch}/{precision}"
        for group in ("steps", "estimates")
        for arch in ("resnet18", "tinyvit")
        for precision in ("fp32", "bf16")
    }
