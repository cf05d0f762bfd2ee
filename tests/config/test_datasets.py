"""What a dataset is called where one name stands for many."""

from __future__ import annotations

import pytest

from deepunlearn.config import read_command

NAMES = {
    ("dataset=torchvision", "dataset.reader=SVHN"): ("torchvision-SVHN", "SVHN"),
    ("dataset=torchvision", "dataset.reader=EMNIST", "dataset.subset=letters"): (
        "torchvision-EMNIST-letters",
        "EMNIST (letters)",
    ),
    ("dataset=torchvision", "dataset.reader=DTD", "dataset.subset=7"): ("torchvision-DTD-7", "DTD (7)"),
    ("dataset=huggingface", "dataset.path=uoft-cs/cifar10"): ("huggingface-cifar10", "cifar10"),
    ("dataset=huggingface", "dataset.path=/data/my-saved", "dataset.target=kind"): (
        "huggingface-my_saved-kind",
        "my-saved (kind)",
    ),
    ("dataset=celeba",): ("celeba", "CelebA"),
    ("dataset=celeba", "dataset.target=Male"): ("celeba-Male", "CelebA (Male)"),
    ("dataset=celeba", "dataset.target=Male", "dataset.title=Faces"): ("celeba-Male", "Faces"),
    ("dataset.source=torchvision", "dataset.reader=USPS"): ("digits-USPS", "digits (USPS)"),
    ("dataset=mnist", "dataset.source=folder", "dataset.root=x"): ("mnist", "MNIST (image files)"),
}


@pytest.mark.parametrize("arguments", NAMES)
def test_what_was_chosen_is_in_name_and_title(arguments: tuple[str, ...]) -> None:
    (cell,) = read_command(arguments).sweep.cells
    assert (cell.dataset.name, cell.dataset.title) == NAMES[arguments]
