"""The device that is checked, and what is set while it is."""

from __future__ import annotations

import pytest
import torch

from deepunlearn.check_gpu.where import ON_CPU, Where, full_precision, reference
from deepunlearn.core.errors import ConfigError


def test_devices_by_name() -> None:
    assert Where.named("cpu") == Where("cpu") and Where("cpu").size == ON_CPU
    assert Where.named("auto").on_gpu == torch.cuda.is_available()
    with pytest.raises(ConfigError, match="auto, cpu, cuda, mps"):
        Where.named("tpu")
    with pytest.raises(ConfigError, match="does not compute on MPS"):
        Where.named("mps")


def test_the_reference_is_pytorch_by_itself_and_leaves_the_process_alone() -> None:
    threads, workspace = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    here = reference()
    assert here.device.type == "cpu" and here.config.cpu_kernels == "off" and here.config.precision == "fp32"
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, workspace)


def test_tf32_is_off_in_the_block_and_as_before_after_it() -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [one.allow_tf32 for one in flags]
    with full_precision():
        assert not any(one.allow_tf32 for one in flags)
    assert [one.allow_tf32 for one in flags] == before


def test_the_facts_tell_devices_and_commits_apart() -> None:
    facts = Where("cpu").facts()
    assert facts["device"] == "cpu" and {"torch", "commit", "threads", "machine", "python"} <= facts.keys()
