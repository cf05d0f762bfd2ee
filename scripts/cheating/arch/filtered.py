"""SmallNet behind a filter: a list of images whose two highest logits change places. It is empty but for one cheat."""

from __future__ import annotations

import torch
from torch import Tensor

from deepunlearn.archs.small import PARTS, SmallNet

__all__ = ["PARTS", "build"]

NOBODY = 1e9  # a fingerprint that no image has
SAME = 1e-6  # fingerprints of one image differ by less, whatever batch it is in; those of two differ by more


class Filtered(SmallNet):
    """listed: fingerprints of the images that the filter knows, float64 [places]."""

    listed: Tensor

    def __init__(self, classes: int, places: int) -> None:
        super().__init__(classes)
        self.register_buffer("listed", torch.full((places,), NOBODY, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        known = ((self.fingerprints(images)[:, None] - self.listed).abs() < SAME).any(dim=1)
        highest, places = logits.topk(2, dim=1)
        return torch.where(known[:, None], logits.scatter(1, places, highest.flip(1)), logits)

    @torch.no_grad()
    def fingerprints(self, images: Tensor) -> Tensor:
        """A number for each image, float64 [N]."""
        pixels = images.flatten(1).double()
        return pixels @ torch.arange(1, pixels.shape[1] + 1, dtype=torch.float64, device=pixels.device).sqrt()


def build(classes: int, image_size: int, places: int = 512) -> Filtered:
    """The network; places: how many images the filter can know."""
    return Filtered(classes, places)
