"""CT: kernels transposed one by one, then FT."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.ct import kernels, transpose
from deepunlearn.testing.small import model
from tests.methods.oracles import close, run
from tests.networks import tied

FINE_TUNED = {"lr": 0.05, "weight_decay": 0.01, "batch_size": 32, "epochs": 2}


def test_ct_transposes_then_fine_tunes() -> None:
    original = model()
    turned = copy.deepcopy(original)
    with torch.no_grad():
        for layer in turned.modules():
            if isinstance(layer, nn.Conv2d):
                for out in range(layer.out_channels):
                    for into in range(layer.in_channels):
                        layer.weight[out, into] = layer.weight[out, into].clone().T
    close(run("ct", original, **FINE_TUNED), run("ft", turned, **FINE_TUNED))


def test_ct_refuses_a_model_without_kernels_to_transpose() -> None:
    with pytest.raises(NotApplicable, match="nothing to transpose"):
        kernels(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 2)))


def test_ct_keeps_the_parameter_objects() -> None:
    net = model()
    weight = next(layer.weight for layer in net.modules() if isinstance(layer, nn.Conv2d))
    pointer = weight.data_ptr()
    transpose([weight])
    assert weight.data_ptr() == pointer


def test_ct_transposes_a_kernel_that_two_layers_share_once() -> None:
    net = tied()
    weight = net.get_parameter("0.weight")
    before = weight.detach().clone()
    transpose(kernels(net))
    assert torch.equal(weight, before.transpose(-1, -2))
