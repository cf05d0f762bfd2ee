"""Networks and an unlearning call behind made logits, for the contract of measures that ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.progress import Progress
from deepunlearn.data.loader import GivenData, Part, part_of
from deepunlearn.runtime import Runtime
from deepunlearn.testing.small import runtime

Arrays = Mapping[str, npt.NDArray[Any]]
PARTS = ("retain", "forget", "val", "test")


def _network(logits: Arrays) -> nn.Module:
    """One that has these logits on the samples of `MadeModels.parts`, and that can be trained: a block and a head."""
    rows = torch.from_numpy(np.concatenate([logits[part] for part in PARTS]))
    with torch.random.fork_rng(devices=[]):  # initial weights that are replaced should not move anyone's state
        block, head = nn.Linear(rows.shape[0], rows.shape[1], bias=False), nn.Linear(rows.shape[1], rows.shape[1])
    with torch.no_grad():
        block.weight.copy_(rows.T)
        head.weight.copy_(torch.eye(rows.shape[1]))
        head.bias.zero_()
    return nn.Sequential(block, head).eval()


class MadeModels:
    """`metrics.added.Models` of models with these logits [N, K] by part. A sample is its place among all, one-hot."""

    def __init__(self, own: Arrays, original: Arrays, retrained: Arrays, labels: Arrays, seed: int) -> None:
        self._own, self._original, self._retrained, self._seed = own, original, retrained, seed
        known = torch.from_numpy(np.concatenate([labels[part] for part in PARTS]))
        data = GivenData(torch.eye(len(known)), known, torch.device("cpu"))
        ends = np.cumsum([0, *(len(labels[part]) for part in PARTS)]).tolist()
        parts = {part: part_of(data, range(*ends[place : place + 2])) for place, part in enumerate(PARTS)}
        self.parts: Mapping[str, Part] = {**parts, "unseen_test": parts["test"].subset(_like_forgotten(original))}
        self.runtime: Runtime = runtime()
        self.progress = Progress(quiet=True)

    def unlearned(self) -> nn.Module:
        return _network(self._own)

    def original(self) -> nn.Module:
        return _network(self._original)

    def retrained(self) -> nn.Module:
        return _network(self._retrained)

    def random(self) -> nn.Module:
        """Logits near 0, as those of networks that were just made are."""
        drawn = np.random.RandomState(self._seed)
        logits = {part: 0.1 * drawn.randn(*self._own[part].shape).astype(np.float32) for part in PARTS}
        return _network(logits)

    def anatomy(self, model: nn.Module) -> Anatomy:
        return Anatomy(model, {"blocks": ["0"], "head": "1"})


def _like_forgotten(logits: Arrays) -> list[int]:
    """Which test samples the attack looks at, by the rows [K] that it is given; all where nothing is said."""
    test = logits["test"]
    return [int((test == row).all(axis=1).argmax()) for row in logits.get("unseen_test", test)]


class MadeCall:
    """`metrics.added.Call` of a call that works more, the more the outcome favours the labels of D_F."""

    retrain_samples = 1000

    def __init__(self, own: Arrays, labels: Arrays) -> None:
        true = np.take_along_axis(own["forget"], labels["forget"][:, None], 1)
        self._rows = max(1, round(100 * float(true.mean())))
        self.alike = f"{self._rows} rows"
        self.runtime: Runtime = runtime()

    def unlearn(self, around: AbstractContextManager[Any]) -> None:
        with around:
            _work(self._rows)

    def retrain_step(self, around: AbstractContextManager[Any]) -> int:
        with around:
            _work(10)
        return 10


def _work(rows: int) -> Tensor:
    return torch.ones(rows, 8) @ torch.ones(8, 8)
