"""TinyViT with collapsed window padding against timm's own, which is the slow truth."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import pytest
import timm
import torch
from timm.models.tiny_vit import TinyVitBlock
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from deepunlearn.archs import tiny_vit
from deepunlearn.archs.tiny_vit import CollapsedAttention, CollapsedBlock, collapse_padding
from tests.networks import outcome as outcome_of


def scramble(module: nn.Module, seed: int = 0) -> None:
    """Random values in every parameter, so that biases and the bias table (zero when fresh) are seen to be used."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def blocks(window: int, drop_path: float = 0.0) -> tuple[TinyVitBlock, CollapsedBlock]:
    """timm's block with random weights in double precision, and a copy that collapses."""
    plain = TinyVitBlock(dim=8, num_heads=2, window_size=window, mlp_ratio=1.0, drop_path=drop_path).double()
    scramble(plain)
    collapsed = deepcopy(plain)
    collapse_padding(collapsed)
    assert isinstance(collapsed, CollapsedBlock)
    return plain, collapsed


def maps_of(height: int, width: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(count, height, width, 8, dtype=torch.float64, generator=generator)


def outcome(block: nn.Module, maps: Tensor) -> list[Tensor]:
    torch.manual_seed(0)  # drop path
    return outcome_of(block, maps)


def assert_same(plain: nn.Module, collapsed: nn.Module, maps: Tensor) -> None:
    for expected, got in zip(outcome(plain, maps), outcome(collapsed, maps), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "height"), [(window, height) for window in (7, 14) for height in range(1, window + 1)]
)
def test_every_map_smaller_than_the_window(window: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, collapsed = blocks(window)
    widths = [width for width in range(1, window + 1) if (height, width) != (window, window)]
    monkeypatch.setattr(collapsed.attn, "forward", None)  # timm's path would call it
    for width in widths:
        assert_same(plain, collapsed, maps_of(height, width))


@pytest.mark.parametrize(("height", "width"), [(7, 7), (14, 14), (8, 8), (3, 9), (9, 7), (10, 3)])
def test_full_windows_and_larger_maps_take_timms_path(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, collapsed = blocks(7)
    monkeypatch.setattr(collapsed.attn, "attend", None)
    assert_same(plain, collapsed, maps_of(height, width))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (7, 7), (8, 8)])
def test_modes_and_drop_path(mode: str, size: tuple[int, int]) -> None:
    plain, collapsed = blocks(7, drop_path=0.5)
    for block in (plain, collapsed):
        block.train(mode == "train")
    assert_same(plain, collapsed, maps_of(*size, count=6))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("window", [7, 14])
def test_every_map_in_bfloat16(window: int, mode: str) -> None:
    """Over all maps smaller than the window no further from the truth than timm's own path in bfloat16."""
    plain, collapsed = blocks(window, drop_path=0.5)
    for block in (plain, collapsed):
        block.train(mode == "train")
    sides = [1, 2, 3, window // 2, window - 1, window]
    errors = {"timm": 0.0, "ours": 0.0}
    for height, width in product(sides, sides):
        if (height, width) != (window, window):
            maps = maps_of(height, width, count=4)
            truth = outcome(plain.double(), maps)
            for name, block in (("timm", plain), ("ours", collapsed)):
                with torch.autocast("cpu", torch.bfloat16):
                    got = outcome(block.float(), maps.float())
                errors[name] += sum(float((a - b).norm() / b.norm()) for a, b in zip(got, truth, strict=True))
    assert errors["ours"] < 1.1 * errors["timm"], errors


@pytest.mark.parametrize("size", [(2, 2), (7, 7), (8, 8)])
def test_weights_changed_in_eval_mode_count_at_once(size: tuple[int, int]) -> None:
    """timm's cached biases would be stale after the first change, and hold a freed graph at the second backward."""
    plain, collapsed = blocks(7)
    collapsed.eval()
    for seed in (1, 2):
        outcome(collapsed, maps_of(*size))
        scramble(collapsed, seed)
        scramble(plain, seed)
    assert_same(plain.eval(), collapsed, maps_of(*size))


def test_a_table_with_extreme_values_stays_finite() -> None:
    plain, collapsed = blocks(7)
    for block in (plain, collapsed):
        with torch.no_grad():
            block.attn.attention_biases[:, 0] = -300.0  # the token itself
            block.attn.attention_biases[:, 48] = 300.0  # corner to corner: of 4x4 tokens only the first has that
        block.float()
    results = [outcome(block, maps_of(4, 4).float()) for block in (plain, collapsed)]
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_constants_are_made_once_per_map_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    original = tiny_vit._constants

    def spy(index: Tensor, window: tuple[int, int], height: int, width: int) -> tuple[Tensor, Tensor]:
        made.append((height, width))
        return original(index, window, height, width)

    monkeypatch.setattr(tiny_vit, "_constants", spy)
    _, collapsed = blocks(7)
    for size in ((2, 2), (2, 2), (3, 2), (3, 2)):
        collapsed(maps_of(*size))
    assert made == [(2, 2), (3, 2)]
    model = tiny_vit.build(10, 32)
    prepared = len(made)
    model(torch.rand(2, 3, 32, 32))
    assert prepared == 2 + 10 and len(made) == prepared, "build prepares all, steps make none"


def test_constants_first_made_under_inference_mode_can_be_trained_with() -> None:
    plain, collapsed = blocks(7)
    with torch.inference_mode():
        collapsed(maps_of(2, 2))
    assert_same(plain, collapsed, maps_of(2, 2))


def test_per_sample_gradients() -> None:
    plain, collapsed = (block.eval() for block in blocks(7))
    maps = maps_of(2, 2, count=3)

    def each(block: nn.Module, maps: Tensor) -> dict[str, Tensor]:
        def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
            return functional_call(block, weights, (image[None],)).sin().sum()

        return vmap(grad(loss), in_dims=(None, 0))({k: p.detach() for k, p in block.named_parameters()}, maps)

    got = each(collapsed, maps)
    for index in range(3):
        single = outcome_of_sine(plain, maps[index : index + 1])
        for name, value in single.items():
            torch.testing.assert_close(got[name][index], value)


def outcome_of_sine(block: nn.Module, maps: Tensor) -> dict[str, Tensor]:
    block.train().eval()  # drops timm's cached biases, whose graph the last backward pass has freed
    names, parameters = zip(*block.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(block(maps).sin().sum(), parameters), strict=True))


@pytest.mark.slow
def test_compiled() -> None:
    plain, collapsed = blocks(7)
    collapsed.attn.fit(2, 2)
    compiled = torch.compile(collapsed, backend="aot_eager", fullgraph=True)
    assert_same(plain, compiled, maps_of(2, 2))


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    """timm's network and ours with the same random weights, for 32x32 images."""
    ours = tiny_vit.build(10, 32)
    scramble_gently(ours)
    plain = timm.create_model("tiny_vit_11m_224", pretrained=False, num_classes=10)
    assert list(ours.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(ours.state_dict())
    return plain, ours


def scramble_gently(model: nn.Module) -> None:
    """Fresh weights with the bias tables and all other zeros filled in."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def network_outcome(model: nn.Module, mode: str, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits and all gradients in one vector, for 16 images; the model's running statistics stay as they were."""
    state = deepcopy(model.state_dict())
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    model.train()  # empties timm's cache of attention biases, which holds on to a freed graph
    model.train(mode == "train")
    torch.manual_seed(7)  # drop path
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), torch.arange(16) % 10)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    model.load_state_dict(state)
    return logits.detach().float(), torch.cat([gradient.flatten() for gradient in gradients])


def distances(got: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> list[float]:
    """Relative distance of logits and of gradients."""
    return [float((a - b).norm() / b.norm()) for a, b in zip(got, truth, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_whole_network(networks: tuple[nn.Module, nn.Module], mode: str) -> None:
    plain, ours = networks
    truth = network_outcome(plain, mode, torch.float32)
    assert max(distances(network_outcome(ours, mode, torch.float32), truth)) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_whole_network_in_bfloat16(networks: tuple[nn.Module, nn.Module], mode: str) -> None:
    plain, ours = networks
    truth = network_outcome(plain, mode, torch.float32)
    theirs = distances(network_outcome(plain, mode, torch.bfloat16), truth)
    for our_error, their_error in zip(
        distances(network_outcome(ours, mode, torch.bfloat16), truth), theirs, strict=True
    ):
        assert our_error < 1.5 * their_error < 0.2, "in bfloat16 no further from the truth than timm's own path"


def test_copies_and_state_dicts(networks: tuple[nn.Module, nn.Module]) -> None:
    _, ours = networks
    copy = deepcopy(ours).eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(copy(images), ours.eval()(images))
    assert not any("collapsed" in key for key in ours.state_dict())
    assert all(torch.isfinite(buffer).all() for buffer in ours.buffers())


@pytest.mark.parametrize(("image_size", "maps"), [(32, [4, 2, 1]), (40, [5, 3, 2]), (224, [None, None, None])])
def test_build_prepares_the_maps_of_its_image_size(image_size: int, maps: list[int | None]) -> None:
    model = tiny_vit.build(10, image_size)
    seen: list[int | None] = []
    for stage in model.stages[1:]:
        attention = stage.blocks[0].attn
        assert isinstance(attention, CollapsedAttention)
        seen.append(getattr(attention, "collapsed_map", (None,))[0])
    assert seen == maps


def test_every_offset_of_a_window_is_counted() -> None:
    _, collapsed = blocks(7)
    for height, width in product((1, 3, 7), (2, 6)):
        collapsed.attn.fit(height, width)
        counts = collapsed.attn.collapsed_log_count.exp().sum(dim=1)
        torch.testing.assert_close(counts, torch.full_like(counts, 49 - height * width))
