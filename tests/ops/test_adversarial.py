"""Steps in pixels against steps that are taken in pixels, one image at a time."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.ops.adversarial import Pixels, fgsm, input_gradient, nearest_mistakes, pgd
from deepunlearn.testing.small import dataset, parts
from tests.methods.oracles import odd

STD, MEAN = torch.tensor([0.1, 0.25, 0.5]).view(1, 3, 1, 1), torch.tensor([0.2, 0.5, 0.6]).view(1, 3, 1, 1)
IMAGES = SimpleNamespace(pixel_std=STD, pixel_bounds=(-MEAN / STD, (1 - MEAN) / STD))
UNKNOWN = SimpleNamespace(pixel_std=None, pixel_bounds=None)


def batch() -> tuple[Tensor, Tensor]:
    shades = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return (shades - MEAN) / STD, torch.tensor([0, 1, 2, 3, 0, 1])


def net() -> nn.Module:
    return odd().eval()


def test_gradients_of_inputs_are_those_of_single_samples_and_leave_the_network_alone() -> None:
    x, y = batch()
    model = net()
    found = input_gradient(model, x, y)
    assert not x.requires_grad and all(parameter.grad is None for parameter in model.parameters())
    for image, label, gradient in zip(x, y, found, strict=True):
        one = image[None].clone().requires_grad_()
        (expected,) = torch.autograd.grad(F.cross_entropy(copy.deepcopy(model)(one), label[None]), one)
        torch.testing.assert_close(gradient, expected[0], rtol=1e-4, atol=1e-7)


def test_a_step_of_the_fast_gradient_sign_is_eps_in_every_pixel_and_stays_an_image() -> None:
    x, y = batch()
    attacked = fgsm(net(), x, y, 0.1, Pixels(IMAGES))
    shades, after = x * STD + MEAN, attacked * STD + MEAN
    expected = (shades + 0.1 * input_gradient(net(), x, y).sign()).clamp(0, 1)
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-5)
    assert (after - shades).abs().max() <= 0.1 + 1e-5 and ((after - shades).abs() > 0.099).float().mean() > 0.8


def test_inputs_in_units_that_are_not_known_move_in_their_own_without_bounds() -> None:
    x, y = batch()
    torch.testing.assert_close((fgsm(net(), x, y, 7.0, Pixels(UNKNOWN)) - x).abs().amax(), torch.tensor(7.0))


def test_a_part_says_what_a_pixel_is() -> None:
    part = parts(dataset(mean=(0.5,), std=(0.25,)))["forget"]
    assert part.pixel_bounds is not None
    low, high = part.pixel_bounds
    ((x, _),) = part.batches(1000)
    shades = x * part.pixel_std + 0.5
    assert shades.min() >= 0 and shades.max() <= 1
    assert (float(low), float(high)) == (-2.0, 2.0)


def test_a_network_without_a_gradient_in_its_input_is_refused() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().mean(dim=(2, 3))

    x, y = batch()
    with pytest.raises(NotApplicable, match="no gradient with respect to its input"):
        input_gradient(Blind(), x, y % 3)


def test_the_projected_attack_keeps_to_its_ball_and_to_the_image_and_raises_the_loss() -> None:
    x, y = batch()
    model = net()
    moved = pgd(model, x, y, eps=1.5, steps=12, pixels=Pixels(IMAGES))
    shades = moved * STD + MEAN
    moves = (shades - (x * STD + MEAN)).flatten(1).norm(dim=1)
    assert (moves <= 1.5 + 1e-4).all() and moves.max() > 1.2, "12 steps of a tenth reach the ball's end"
    assert shades.min() >= -1e-6 and shades.max() <= 1 + 1e-6
    with torch.no_grad():
        assert F.cross_entropy(model(moved), y) > F.cross_entropy(model(x), y)


def test_what_no_radius_changes_is_not_found() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    nn.init.zeros_(model[1].weight)
    x, _ = batch()
    found, inputs, labels = nearest_mistakes(model, x, 0.5, 1, Pixels(IMAGES))
    assert not found.any() and len(inputs) == len(labels) == 0
    assert list(Pixels(IMAGES).radii(x, 20.0)) == [20.0, 40.0, 80.0], "80 is past the diagonal, 55.4"
    assert len(list(Pixels(UNKNOWN).radii(x, 20.0))) == 16
