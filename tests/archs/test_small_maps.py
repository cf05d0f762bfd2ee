"""3x3 convolutions on maps of at most 2x2 against torch's own."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F
from torchvision.models import resnet18

from deepunlearn.archs import resnet, small_maps
from deepunlearn.archs.small_maps import GATHER_FROM, SmallMapConv2d, use_small_maps

COUNT = GATHER_FROM  # images: enough for the short way in all cases
SIZES = list(product((1, 2), (1, 2)))
every_case = pytest.mark.parametrize(("size", "stride"), list(product(SIZES, (1, 2))))


def pair(stride: int, bias: bool = False, channels: tuple[int, int] = (5, 7)) -> tuple[nn.Conv2d, SmallMapConv2d]:
    """A plain convolution and a copy that knows the short way, in double precision."""
    torch.manual_seed(0)
    plain = nn.Conv2d(*channels, 3, stride=stride, padding=1, bias=bias).double()
    short = deepcopy(plain)
    use_small_maps(short)
    assert type(short) is SmallMapConv2d
    return plain, short


def outcome(conv: nn.Module, maps: Tensor) -> list[Tensor]:
    """Output, and gradients of a loss that weighs every output differently, for weights and input."""
    maps = maps.clone().requires_grad_()
    output = conv(maps)
    loss = (output * torch.arange(output.numel(), dtype=output.dtype).view(output.shape).cos()).sum()
    return [output, *torch.autograd.grad(loss, [maps, *conv.parameters()])]


@every_case
@pytest.mark.parametrize("bias", [False, True])
def test_forward_and_backward_equal_the_convolution(size: tuple[int, int], stride: int, bias: bool) -> None:
    plain, short = pair(stride, bias)
    maps = torch.randn(COUNT, 5, *size, dtype=torch.float64)
    for expected, got in zip(outcome(plain, maps), outcome(short, maps), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@every_case
def test_the_memory_format_follows_the_input(size: tuple[int, int], stride: int) -> None:
    plain, short = pair(stride)
    maps = torch.randn(COUNT, 5, *size, dtype=torch.float64)
    for layout in (torch.channels_last, torch.contiguous_format):
        for weights in (torch.channels_last, torch.contiguous_format):
            short.to(memory_format=weights)
            output = short(maps.contiguous(memory_format=layout))
            assert output.is_contiguous(memory_format=layout)
            torch.testing.assert_close(output, plain(maps))


def test_gradients_of_channels_last_weights_are_channels_last() -> None:
    _, short = pair(1)
    short.to(memory_format=torch.channels_last)
    short(torch.randn(COUNT, 5, 2, 2, dtype=torch.float64).to(memory_format=torch.channels_last)).sum().backward()
    assert short.weight.grad is not None
    assert short.weight.grad.stride() == short.weight.stride()


@pytest.mark.parametrize("shape", [(20, 5, 3, 1), (20, 5, 2, 3), (20, 5, 4, 4), (5, 2, 2), (5, 1, 1)])
def test_larger_maps_and_single_images_take_the_convolution(shape: tuple[int, ...]) -> None:
    plain, short = pair(2)
    maps = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(short(maps), plain(maps))


def test_small_batches_take_the_short_way_only_where_one_pixel_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []
    monkeypatch.setattr(small_maps, "small_map_conv", lambda maps, *_: taken.append(tuple(maps.shape[2:])))
    for size, stride in product(SIZES, (1, 2)):
        pair(stride)[1](torch.randn(GATHER_FROM - 1, 5, *size, dtype=torch.float64))
    assert taken == [(1, 1), (1, 1), (1, 2), (2, 1), (2, 2)]


def test_weights_changed_in_place_count_at_once() -> None:
    plain, short = pair(1)
    maps = torch.randn(COUNT, 5, 2, 2, dtype=torch.float64)
    short(maps)
    with torch.no_grad():
        for conv in (plain, short):
            conv.weight.copy_(conv.weight.transpose(2, 3).clone())
    torch.testing.assert_close(short(maps), plain(maps))


@pytest.mark.parametrize("size", SIZES)
def test_autocast(size: tuple[int, int]) -> None:
    plain, short = pair(1, bias=True)
    plain.float()
    short.float()
    maps = torch.randn(COUNT, 5, *size)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = plain(maps), short(maps)
        assert got.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


@every_case
def test_gradients_per_group_and_forward_mode(size: tuple[int, int], stride: int) -> None:
    plain, short = pair(stride)
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


def test_compiled() -> None:
    plain, short = pair(1)
    maps = torch.randn(COUNT, 5, 2, 2, dtype=torch.float64).to(memory_format=torch.channels_last)
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
    assert sum(isinstance(module, SmallMapConv2d) for module in modules) == 16


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_whole_network(mode: str) -> None:
    torch.manual_seed(0)
    short = resnet.build(10, 32).double().train(mode == "train")
    plain = resnet18(num_classes=10).double().train(mode == "train")
    plain.load_state_dict(short.state_dict())
    images, labels = torch.randn(COUNT, 3, 32, 32, dtype=torch.float64), torch.arange(COUNT) % 10
    results = []
    for model in (plain, short):
        loss = F.cross_entropy(model(images), labels)
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)
