"""Class-activation maps of an unlearned model, its original and its retrained model on a few images; off by default.

Kept are the maps and which samples they are of. The images themselves are read from the data when a page is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.cells import REFERENCES
from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.keys import PanelKey, UnlearnedKey
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.core.split import Split
from deepunlearn.core.store import Entry, Place
from deepunlearn.data.decoded import Decoded
from deepunlearn.ops.class_maps import Level, class_maps, level_of
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.training import load_weights

VERSION = 1  # bump when maps of the same models would come out differently
PARTS = ("forget", "retain", "test")
IMAGES = 3  # of each part
UNLEARNED = "unlearned"
MODELS = (*REFERENCES, UNLEARNED)

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Inputs = Mapping[str, tuple[torch.Tensor, torch.Tensor]]  # by part: images and labels


class Panel(NamedTuple):
    """level: of the network whose maps they are; by part: the positions of the samples in it, the images [n, C, S, S],
    and by model the maps [n, S, S], 255 where a map is highest."""

    level: Level
    samples: Mapping[str, Positions]
    images: Mapping[str, Bytes]
    maps: Mapping[str, Mapping[str, Bytes]]


class PanelStage(Experiment):
    """Makes the panels of a cell; those of one seed are of the same samples for all methods."""

    def panel(self, subject: UnlearnedKey, place: Place) -> Panel:
        """The panel of a stored model, computed where it is not stored.

        Raises NotApplicable where its weights were not kept, or its network keeps no places of an image.
        """
        assert place.seed is not None
        key = PanelKey(subject=subject, retrained=self.keys.reference("retrained", place.seed), version=VERSION)
        entry = self.store.find(key, place) or self._computed(key, place, place.seed)
        kept, level = entry.arrays("maps.npz"), Level(**entry.json("level.json"))
        samples = {part: kept[f"samples_{part}"] for part in PARTS}
        images = {part: _images(self.decoded, self.split, part, samples[part]) for part in PARTS}
        maps = {part: {name: kept[f"{name}_{part}"] for name in MODELS} for part in PARTS}
        return Panel(level, samples, images, maps)

    def _computed(self, key: PanelKey, place: Place, seed: int) -> Entry:
        entry = self.store.find(key.subject, place)
        assert entry is not None, "panels are made of models that have a row"
        weights = _weights_of(entry)
        samples = self._samples
        inputs = {part: self._inputs(part, samples[part], seed) for part in PARTS}
        level = self._level(inputs, seed)
        maps = {f"{name}_{part}": one for name, part, one in self._maps(weights, seed, level, inputs)}
        with self.store.writing(key, place, self._facts()) as draft:
            draft.write_arrays("maps.npz", **maps, **{f"samples_{part}": samples[part] for part in PARTS})
            draft.write_json("level.json", level._asdict())
        return self._stored(key, place)

    def _maps(self, weights: Path, seed: int, level: Level, inputs: Inputs) -> Iterator[tuple[str, str, Bytes]]:
        """Model, part, maps; one network at a time is in memory."""
        loaders: dict[str, Callable[[], nn.Module]] = {role: partial(self.load, role, seed) for role in REFERENCES}
        loaders[UNLEARNED] = partial(self._unlearned_model, weights, seed)
        for name, load in loaders.items():
            model = load()
            for part, (images, labels) in inputs.items():
                found = class_maps(model, archs.anatomy_of(self.cell.arch, model), level, images, labels)
                yield name, part, np.rint(255 * found).astype(np.uint8)

    def _unlearned_model(self, weights: Path, seed: int) -> nn.Module:
        model = self.fresh_model(seed)
        load_weights(weights, model)
        return model

    def _level(self, inputs: Inputs, seed: int) -> Level:
        """Of the original, so that all methods are looked at in the same place."""
        original = self.load("original", seed)
        images, labels = (torch.cat(both) for both in zip(*inputs.values(), strict=True))
        return level_of(original, archs.anatomy_of(self.cell.arch, original), images, labels)

    @cached_property
    def _samples(self) -> dict[str, Positions]:
        """Of each part, drawn by chance."""
        chance = np.random.default_rng(derive_seed32("panels", self.keys.split.hash))
        sizes = {part: len(getattr(self.split, part)) for part in PARTS}
        return {
            part: np.sort(chance.choice(size, min(IMAGES, size), replace=False)).astype(np.int64)
            for part, size in sizes.items()
        }

    def _inputs(self, part: str, positions: Positions, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self.split_data(seed).parts[part].subset(positions)
        return next(chosen.blocks(len(chosen)))


def _weights_of(entry: Entry) -> Path:
    """Raises NotApplicable where they were not kept."""
    if "weights.safetensors" in entry.meta["files"]:
        return entry.file("weights.safetensors")
    raise NotApplicable(
        "class-activation maps need the weights of this model, which were not kept",
        given=f"{entry.path.name}: {', '.join(sorted(entry.meta['files']))}",
        allowed="models of a sweep with keep=weights",
        remedy="move its folder out of the store and run the sweep again with keep=weights",
    )


def _images(decoded: Decoded, split: Split, part: str, positions: Positions) -> Bytes:
    """uint8 [n, C, S, S]."""
    rows = getattr(split, part)[positions]
    source = decoded.test_images if part == "test" and not split.test_of_train else decoded.train_images
    return np.asarray(source[rows])
