"""What a process sets for itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from deepunlearn.testing.small import runtime

FAULTS = """
import resource, torch
from deepunlearn.config import read_command
from deepunlearn.runtime import Runtime
Runtime(read_command([]).sweep.runtime)
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
