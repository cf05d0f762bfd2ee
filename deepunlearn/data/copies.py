"""Images that are there twice, which no attack can tell apart: a copy of a forgotten sample may be retained.

Two images count as the same where their pixels are equal after resizing, which is what a network sees of them. That
covers equal files, the same picture in two lossless formats, and a grey one beside its colour copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepunlearn.core.samples import Indices
from deepunlearn.core.split import Split

Hashes = npt.NDArray[np.uint64]  # one per image; two of a million differing ones are equal with probability 3e-8
Labels = npt.NDArray[np.int64]

EXAMPLES = 3  # kept, to be named


def pixel_hash(content: bytes) -> int:
    """64 bits that tell the contents of two images of one size apart."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Found:
    """How many images are copies, and the first few of them beside what they copy."""

    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Images:
    """The hashes and labels of all images, the training part's first."""

    hashes: Hashes
    labels: Labels
    train: int  # how many are of the training part

    def first(self) -> Indices:
        """For each image the first one that is equal to it: itself where there is none before."""
        _, first, inverse = np.unique(self.hashes, return_index=True, return_inverse=True)
        return first[inverse].astype(np.int64)

    def in_test(self) -> Indices:
        """Training images that are in the test part too."""
        return np.flatnonzero(np.isin(self.hashes[: self.train], self.hashes[self.train :]))

    def repeated(self) -> Indices:
        """Training images that are equal to an earlier one."""
        first = self.first()[: self.train]
        return np.flatnonzero(first != np.arange(self.train))

    def surplus(self) -> Indices:
        """Training images to leave out so that none is there twice: the test part stays, and the first of equals."""
        return np.union1d(self.in_test(), self.repeated())

    def other_labels(self) -> Indices:
        """Images whose label is not that of the first image equal to them."""
        return np.flatnonzero(self.labels != self.labels[self.first()])

    def findings(self, name: Callable[[int], str]) -> dict[str, Found]:
        """What there is of each kind; name: of an image by its number."""
        first, tests = self.first(), self.hashes[self.train :]
        partner = {
            row: self.train + int(np.flatnonzero(tests == self.hashes[row])[0]) for row in self.in_test()[:EXAMPLES]
        }
        return {
            kind: Found(len(rows), tuple((name(row), name(of(row))) for row in rows[:EXAMPLES].tolist()))
            for kind, rows, of in (
                ("in test", self.in_test(), partner.__getitem__),
                ("repeated", self.repeated(), lambda row: int(first[row])),
                ("other labels", self.other_labels(), lambda row: int(first[row])),
            )
        }


def shared(split: Split, train: Hashes, test: Hashes) -> dict[str, int]:
    """How many samples of one set are in another set too, by what that does harm to."""
    forget, val, tests = train[split.forget], train[split.val], (train if split.test_of_train else test)[split.test]
    return {
        "forget": int(np.isin(forget, train[split.retain]).sum()),
        "val": int(np.isin(val, train[split.train]).sum()),
        "test": int(np.isin(tests, train[split.train]).sum()),
    }
