"""What a process sets for itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
