"""A small convolutional network for tests: milliseconds per step at 32x32, and enough to learn digits."""

from __future__ import annotations

from torch import Tensor, nn

PARTS = {"stem": "stem.0", "blocks": ["block1", "block2"], "head": "head"}


class SmallNet(nn.Module):
    """Three stride-2 convolutions with batch normalisation and ReLU, global average pooling, a linear head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _unit(3, 16)
        self.block1 = _unit(16, 32)
        self.block2 = _unit(32, 32)
        self.head = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) images to (N, classes) logits."""
        maps = self.block2(self.block1(self.stem(images)))
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


def _unit(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


def build(classes: int, image_size: int) -> SmallNet:
    """The network; any `image_size` (pixels) will do."""
    return SmallNet(classes)
