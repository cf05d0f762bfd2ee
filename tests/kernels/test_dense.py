"""Dense layers by 1x1 convolutions against `F.linear`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from deepunlearn.kernels import dense
from deepunlearn.kernels.dense import ROWS_FROM, Dense, use_dense
from tests.networks import outcome


@pytest.fixture(autouse=True)
def held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where it pays."""
    monkeypatch.setattr(dense, "PAYS", True)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pair(bias: bool) -> tuple[nn.Linear, Dense]:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40, bias=bias))
    short = deepcopy(plain)
    use_dense(short)
    assert type(short[0]) is Dense
    return plain[0], short[0]


def is_convolved(rows: Tensor, monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patch:
        patch.setattr(F, "linear", lambda *_: torch.zeros(()))
        return dense.dense(rows, torch.ones(3, rows.shape[-1])).ndim > 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(128, 24), (32, 4, 24), (4, 8, 8, 24), (130, 24), (3, 24), (24,)])
def test_forward_and_backward_equal_linear(shape: tuple[int, ...], bias: bool, threads: int) -> None:
    plain, short = pair(bias)
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for expected, got in zip(outcome(plain, rows), outcome(short, rows), strict=True):
        assert got.shape == expected.shape and got.is_contiguous()
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


def test_rows_that_lie_apart_in_memory(threads: int) -> None:
    plain, short = pair(True)
    rows = torch.randn(4, 24, 8, 8).permute(0, 2, 3, 1)
    torch.testing.assert_close(short(rows), plain(rows), rtol=1e-5, atol=1e-5)


def test_when_it_pays(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 128 rows on, in fp32; with one thread such as 16 images can share."""
    assert is_convolved(torch.ones(ROWS_FROM, 8), monkeypatch)
    assert not is_convolved(torch.ones(ROWS_FROM - 1, 8), monkeypatch)
    assert is_convolved(torch.ones(ROWS_FROM + 1, 8), monkeypatch) == (threads > 1)
    assert not is_convolved(torch.ones(ROWS_FROM, 8, dtype=torch.float64), monkeypatch)
    monkeypatch.setattr(dense, "PAYS", False)
    assert not is_convolved(torch.ones(ROWS_FROM, 8), monkeypatch)


def test_in_bfloat16(threads: int) -> None:
    """Under autocast no further from the truth than `F.linear`."""
    plain, short = pair(True)
    rows = torch.randn(256, 24, generator=torch.Generator().manual_seed(1))
    truth = outcome(plain, rows)
    with torch.autocast("cpu", torch.bfloat16):
        theirs, ours = outcome(plain, rows), outcome(short, rows)
    for exact, their, our in zip(truth, theirs, ours, strict=True):
        assert our.dtype == their.dtype
        assert (our - exact).norm() < 1.2 * (their - exact).norm() + 1e-6


def test_per_sample_gradients(threads: int) -> None:
    plain, short = pair(True)
    rows = torch.randn(3, ROWS_FROM, 24, generator=torch.Generator().manual_seed(1))

    def each(layer: nn.Module) -> dict[str, Tensor]:
        def loss(weights: dict[str, Tensor], sample: Tensor) -> Tensor:
            return functional_call(layer, weights, (sample,)).sin().sum()

        return vmap(grad(loss), in_dims=(None, 0))({k: p.detach() for k, p in layer.named_parameters()}, rows)

    expected, got = each(plain), each(short)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.slow
def test_compiled(threads: int) -> None:
    plain, short = pair(True)
    compiled = torch.compile(short, backend="aot_eager", fullgraph=True)
    rows = torch.randn(256, 24)
    for expected, got in zip(outcome(plain, rows), outcome(compiled, rows), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)
