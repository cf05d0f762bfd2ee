"""ResNet18 (He et al. 2016, arXiv 1512.03385) as torchvision builds it, its ImageNet stem kept at every image size."""

from __future__ import annotations

from torchvision.models import ResNet, resnet18

from deepunlearn.archs import Parts
from deepunlearn.archs.small_maps import use_small_maps


def build(classes: int, image_size: int) -> ResNet:
    """torchvision's `resnet18`, untrained, same parameters and state-dict keys; any `image_size` (pixels) will do.

    Its 3x3 convolutions take a faster way through maps of at most 2x2, which 32x32 images become in the last two of
    its four stages (`small_maps`).
    """
    model = resnet18(num_classes=classes)
    use_small_maps(model)
    return model


def parts(model: ResNet) -> Parts:
    """conv1; layer1 to layer4; fc."""
    return Parts(stem=(model.conv1,), blocks=(model.layer1, model.layer2, model.layer3, model.layer4), head=model.fc)
