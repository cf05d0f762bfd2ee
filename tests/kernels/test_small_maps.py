"""Convolutions on small maps against torch's own."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F
from torchvision.models import resnet18

from deepunlearn.archs import resnet
from deepunlearn.kernels.dense import ROWS_FROM
from deepunlearn.kernels.small_maps import GATHER_FROM, SmallMapConv2d, use_small_maps
from tests.networks import outcome

COUNT = ROWS_FROM  # images: enough for the short way in all cases
SIZES = list(product((1, 2), (1, 2)))
STRIDED = [*SIZES, (3, 3), (4, 4), (4, 2), (3, 4)]  # what is small where the stride is 2
CASES = [(3, size, 1) for size in SIZES] + [(kernel, size, 2) for kernel in (1, 3) for size in STRIDED]
every_case = pytest.mark.parametrize(("kernel", "size", "stride"), CASES)
Size = tuple[int, int]


def pair(
    stride: int, kernel: int = 3, bias: bool = False, channels: tuple[int, int] = (5, 7)
) -> tuple[nn.Conv2d, SmallMapConv2d]:
    """A plain convolution and a copy that knows the short ways, in double precision."""
    torch.manual_seed(0)
    plain = nn.Conv2d(*channels, kernel, stride=stride, padding=kernel // 2, bias=bias).double()
    short = deepcopy(plain)
    use_small_maps(short)
    assert type(short) is SmallMapConv2d
    return plain, short


@every_case
@pytest.mark.parametrize("bias", [False, True])
def test_forward_and_backward_equal_the_convolution(kernel: int, size: Size, stride: int, bias: bool) -> None:
    plain, short = pair(stride, kernel, bias)
    maps = torch.randn(COUNT, 5, *size, dtype=torch.float64)
    for expected, got in zip(outcome(plain, maps), outcome(short, maps), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@every_case
def test_the_memory_format_follows_the_input(kernel: int, size: Size, stride: int) -> None:
    plain, short = pair(stride, kernel)
    maps = torch.randn(COUNT, 5, *size, dtype=torch.float64)
    for layout in (torch.channels_last, torch.contiguous_format):
        for weights in (torch.channels_last, torch.contiguous_format):
            short.to(memory_format=weights)
            output = short(maps.contiguous(memory_format=layout))
            assert output.is_contiguous(memory_format=layout)
            torch.testing.assert_close(output, plain(maps))


@every_case
def test_gradients_of_channels_last_weights_are_channels_last(kernel: int, size: Size, stride: int) -> None:
    _, short = pair(stride, kernel)
    short.to(memory_format=torch.channels_last)
    short(torch.randn(COUNT, 5, *size, dtype=torch.float64).to(memory_format=torch.channels_last)).sum().backward()
    assert short.weight.grad is not None
    assert short.weight.grad.stride() == short.weight.stride()


def is_convolved(count: int, kernel: int, size: Size, stride: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the map takes torch's convolution."""
    taken: list[Size] = []
    _, short = pair(stride, kernel)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", lambda _, maps: taken.append(maps.shape))
        short(torch.randn(count, 5, *size, dtype=torch.float64))
    return bool(taken)


@every_case
def test_which_batches_take_the_short_way(
    kernel: int, size: Size, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == 1 or max(size) <= stride == 2 or size == (1, 1):
        enough = 1  # one output pixel, or nothing is gathered
    elif max(size) <= 2:
        enough = GATHER_FROM
    else:
        enough = ROWS_FROM
    assert not is_convolved(enough, kernel, size, stride, monkeypatch)
    assert enough == 1 or is_convolved(enough - 1, kernel, size, stride, monkeypatch)


@pytest.mark.parametrize(
    ("kernel", "size", "stride"), [(3, (3, 1), 1), (3, (2, 3), 1), (3, (4, 4), 1), (3, (5, 4), 2), (1, (5, 5), 2)]
)
def test_larger_maps_take_the_convolution(
    kernel: int, size: Size, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_convolved(COUNT, kernel, size, stride, monkeypatch)


@pytest.mark.parametrize("kernel", [1, 3])
def test_maps_without_a_batch(kernel: int) -> None:
    plain, short = pair(2, kernel)
    maps = torch.randn(5, 2, 2, dtype=torch.float64)
    assert torch.equal(short(maps), plain(maps))


def test_weights_changed_in_place_count_at_once() -> None:
    plain, short = pair(1)
    maps = torch.randn(COUNT, 5, 2, 2, dtype=torch.float64)
    short(maps)
    with torch.no_grad():
        for conv in (plain, short):
            conv.weight.copy_(conv.weight.transpose(2, 3).clone())
    torch.testing.assert_close(short(maps), plain(maps))


@every_case
def test_autocast(kernel: int, size: Size, stride: int) -> None:
    plain, short = pair(stride, kernel, bias=True)
    plain.float()
    short.float()
    maps = torch.randn(COUNT, 5, *size)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = plain(maps), short(maps)
        assert got.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


@every_case
def test_gradients_per_group_and_forward_mode(kernel: int, size: Size, stride: int) -> None:
    plain, short = pair(stride, kernel)
    groups = torch.randn(3, COUNT, 5, *size, dtype=torch.float64)

    def results(conv: nn.Module) -> tuple[Tensor, Tensor]:
        weights = {name: p.detach() for name, p in conv.named_parameters()}

        def loss(weights: dict[str, Tensor], maps: Tensor) -> Tensor:
            return functional_call(conv, weights, (maps,)).sin().sum()

        each = vmap(grad(loss), in_dims=(None, 0))(weights, groups)["weight"]
        tangents = {name: value.cos() for name, value in weights.items()}
        return each, jvp(lambda weights: functional_call(conv, weights, (groups[0],)), (weights,), (tangents,))[1]

    for expected, got in zip(results(plain), results(short), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "size", "stride"), [(3, (2, 2), 1), (3, (4, 4), 2), (1, (4, 4), 2)])
def test_compiled(kernel: int, size: Size, stride: int) -> None:
    plain, short = pair(stride, kernel)
    maps = torch.randn(COUNT, 5, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    compiled = torch.compile(short, backend="aot_eager", fullgraph=True)
    for expected, got in zip(outcome(plain, maps), outcome(compiled, maps), strict=True):
        torch.testing.assert_close(got, expected)


def test_first_used_under_inference_mode_then_trained() -> None:
    _, short = pair(1)
    maps = torch.randn(COUNT, 5, 2, 2, dtype=torch.float64)
    with torch.inference_mode():
        short(maps)
    short(maps).sum().backward()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2, padding=1),
        nn.Conv2d(4, 4, 1, stride=(2, 1)),
        nn.Conv2d(4, 4, 1, stride=2, groups=2),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, stride=3),
        nn.Conv2d(4, 4, 3, padding=1, stride=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
    ],
)
def test_other_convolutions_are_left_alone(conv: nn.Conv2d) -> None:
    use_small_maps(conv)
    assert type(conv) is nn.Conv2d


def test_parameters_and_modules_stay_the_same_objects() -> None:
    model = resnet18(num_classes=10)
    modules, parameters = list(model.modules()), list(model.parameters())
    keys = list(model.state_dict())
    use_small_maps(model)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == keys
    assert sum(isinstance(module, SmallMapConv2d) for module in modules) == 19


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_whole_network(mode: str) -> None:
    torch.manual_seed(0)
    short = resnet.build(10, 32).double().train(mode == "train")
    use_small_maps(short)
    plain = resnet18(num_classes=10).double().train(mode == "train")
    plain.load_state_dict(short.state_dict())
    images, labels = torch.randn(COUNT, 3, 32, 32, dtype=torch.float64), torch.arange(COUNT) % 10
    results = []
    for model in (plain, short):
        loss = F.cross_entropy(model(images), labels)
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)
