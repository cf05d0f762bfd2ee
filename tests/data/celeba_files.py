"""CelebA's own files, generated: persons with smiles that a small network learns, in folders and lists as published."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

_NAMES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
"""
ATTRIBUTES = tuple(_NAMES.split())
TRAIN, VALID, TEST = 0, 1, 2  # in list_eval_partition.txt


class Celeba(NamedTuple):
    """What was written, a row for each picture: its file, its person, its part, and -1 or 1 for each attribute."""

    names: list[str]
    identities: np.ndarray
    parts: np.ndarray
    attributes: np.ndarray  # [pictures, 40]


def write_celeba(root: Path, persons: int = 60, pictures: int = 10, seed: int = 0, height: int = 54) -> Celeba:
    """Writes `root`/celeba with `persons` x `pictures` pictures; the published ones are 218 high and 178 wide.

    Persons are numbered from 1. As in CelebA, a person's pictures are all of one part: of persons in turn, 8 of 10 are
    in the training part, one in the validation part, one in the test part. Half of the pictures smile.
    """
    random = np.random.RandomState(seed)
    count = persons * pictures
    identities = random.permutation(np.repeat(np.arange(1, persons + 1), pictures))
    parts = np.array([VALID if one % 10 == 9 else TEST if one % 10 == 0 else TRAIN for one in identities])
    attributes = random.choice([-1, 1], size=(count, len(ATTRIBUTES)))
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for name, person, values in zip(names, identities, attributes, strict=True):
        face = _face(height, int(person), bool(values[ATTRIBUTES.index("Smiling")] == 1), random)
        Image.fromarray(face).save(folder / name, quality=95)
    _write_lists(folder.parent, Celeba(names, identities, parts, attributes))
    return Celeba(names, identities, parts, attributes)


def _face(height: int, person: int, smiles: bool, random: np.random.RandomState) -> np.ndarray:
    """A person's colour with noise, and a mouth that is bright and wide where it smiles; uint8 [height, width, 3]."""
    width = round(height * 178 / 218)
    face = np.full((height, width, 3), np.random.RandomState(person).randint(60, 180, 3), dtype=float)
    mouth = slice(height * 6 // 10, height * 8 // 10), slice(width // 8, width * 7 // 8)
    face[mouth] += 70 if smiles else -50
    return np.clip(face + random.normal(0, 12, face.shape), 0, 255).astype(np.uint8)


def _write_lists(folder: Path, made: Celeba) -> None:
    """The three lists, with CelebA's own head lines and spaces."""
    values = zip(made.names, made.attributes, strict=True)
    rows = ["  ".join([name, *(f"{value:2d}" for value in row)]) for name, row in values]
    head = [str(len(rows)), " ".join(ATTRIBUTES) + " "]
    (folder / "list_attr_celeba.txt").write_text("\n".join([*head, *rows]) + "\n")
    for file, column in (("identity_CelebA.txt", made.identities), ("list_eval_partition.txt", made.parts)):
        lines = (f"{name} {value}\n" for name, value in zip(made.names, column, strict=True))
        (folder / file).write_text("".join(lines))
