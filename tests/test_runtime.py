"""What a process sets for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from deepunlearn import runtime as runtime_module
from deepunlearn.check_gpu.where import Where
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import RuntimeConfig
from deepunlearn.core.validation import validate
from deepunlearn.runtime import WORKSPACE, Runtime, _determinism_given_back, _make_deterministic, device_of
from deepunlearn.testing.small import runtime

PEAKS = """
import json, torch
from deepunlearn.testing.small import runtime
process = runtime()
process.watch_memory()
print(json.dumps(process.peak_memory()))
torch.ones(100_000_000)
print(json.dumps(process.peak_memory()))
process.watch_memory()
print(json.dumps(process.peak_memory()))
"""
FAULTS = """
import resource, torch
from deepunlearn.config import read_command
from deepunlearn.runtime import Runtime
Runtime(read_command([]).sweep.runtime).settle()
def step():
    return [torch.zeros(2_000_000) for _ in range(10)]  # 80 MB
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
def test_the_peak_of_memory_is_that_of_the_stage() -> None:
    """A small stage after a large one: 400 MB of the first must not show in the second. In a process of its own, since
    memory that earlier tests have left may be taken again, or go meanwhile."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, large, small = (json.loads(line) for line in done.stdout.splitlines())
    assert large["peak_memory"] > before["peak_memory"] + 350_000_000
    if small["peak_memory_of"] == "stage":
        assert small["peak_memory"] < large["peak_memory"] - 350_000_000


def test_a_system_that_measures_no_stage_is_said_to_give_the_process_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    process = runtime()
    assert process.peak_memory()["peak_memory_of"] == "process", "nothing was watched yet"
    monkeypatch.setattr(runtime_module, "PROC", Path("/nowhere"))
    process.watch_memory()
    found = process.peak_memory()
    assert found["peak_memory_of"] == "process" and found["peak_memory"] > 10_000_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    """80 MB are 20,000 pages; without our setting the five steps usually take 97,000 faults."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


def test_the_generator_and_the_global_state_are_two_streams() -> None:
    with runtime().seeded(7) as generator:
        own, everybodys = torch.randperm(1000, generator=generator), torch.randperm(1000)
    assert torch.equal(own, torch.randperm(1000, generator=torch.Generator().manual_seed(7))), "data orders stay"
    assert not torch.equal(own, everybodys)


def test_both_streams_depend_on_the_seed_and_the_callers_state_stays() -> None:
    before, drawn = torch.get_rng_state(), []
    for seed in (7, 8, 7):
        with runtime().seeded(seed) as generator:
            drawn.append((torch.rand(4, generator=generator).tolist(), torch.rand(4).tolist()))
    assert drawn[0] == drawn[2] and not set(map(tuple, drawn[0])) & set(map(tuple, drawn[1]))
    assert torch.equal(torch.get_rng_state(), before)


def flags() -> list[Any]:
    """What `_make_deterministic` may set; PyTorch keeps these flags without a GPU too."""
    return [
        os.environ.get(WORKSPACE),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ]


@pytest.mark.parametrize("workspace", [None, ":16:8"])
@pytest.mark.parametrize("benchmark", [True, False])
def test_determinism_is_given_back_also_on_errors(
    workspace: str | None, benchmark: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    if workspace:
        monkeypatch.setenv(WORKSPACE, workspace)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", benchmark)
    before = flags()
    with pytest.raises(ZeroDivisionError), _determinism_given_back():
        _make_deterministic()
        assert flags() == [workspace or ":4096:8", False, True, True, True]
        raise ZeroDivisionError
    assert flags() == before


def test_a_visit_ends_also_on_errors() -> None:
    here = runtime()
    warnings.resetwarnings()  # pytest gives filters back after each test
    before = list(warnings.filters), torch.get_default_dtype()
    with torch.no_grad():
        with pytest.raises(ZeroDivisionError), here.visit(torch.float64):
            assert torch.is_grad_enabled() and torch.zeros(1).dtype == torch.float64
            assert warnings.filters
            raise ZeroDivisionError
        assert not torch.is_grad_enabled()
    assert before == (list(warnings.filters), torch.get_default_dtype())


def test_a_runtime_changes_nothing_until_it_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    made = Runtime(runtime(threads=1).config.model_copy(update={"threads": threads + 1}))
    assert torch.get_num_threads() == threads and made.threads == threads + 1
    made.settle()
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)


def test_the_device_of_a_model_keeps_its_index() -> None:
    """No GPU is needed to speak of one."""
    second = torch.device("cuda", 1)
    assert device_of([second, second]) == second
    assert Runtime(runtime().config, device_of([second])).device == second


@pytest.mark.parametrize(
    "found", [["cuda:0", "cuda:1"], ["cpu", "cuda:0"], ["cpu", "meta"], ["meta"], ["mps"], ["xpu:0"]]
)
def test_other_devices_are_refused_by_name(found: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        device_of(map(torch.device, found))
    assert all(name in str(caught.value.given) for name in found) and "model.to(" in str(caught.value.remedy)


def test_why_there_is_no_mps_is_said_wherever_it_is_asked_for() -> None:
    for asked in (lambda: device_of([torch.device("mps")]), lambda: Where.named("mps"), lambda: config_of("mps")):
        with pytest.raises(ConfigError, match="no 64-bit floats"):
            asked()


def config_of(device: str) -> RuntimeConfig:
    return validate(RuntimeConfig, {**runtime().config.model_dump(), "device": device}, "runtime")


def test_seeding_does_not_reach_gpus_that_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch seeds all of them, now or when it first uses one; a process on the CPU has no business there."""
    asked: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", asked.append)
    before = torch.get_rng_state()
    with runtime().seeded(3):
        first = torch.rand(3)
    with runtime().seeded(3):
        assert torch.equal(first, torch.rand(3))
    assert not asked and torch.equal(before, torch.get_rng_state())
