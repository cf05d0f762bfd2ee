"""How sure a network is of each training sample while it learns: what `forget=difficulty` goes by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.data.loader import Part
from deepunlearn.runtime import Clock, Runtime
from deepunlearn.training import Batches, predict


class Confidence:
    """Adds up each sample's softmax probability of its label, without augmentation, at the end of each epoch.

    Swayamdipta et al. 2020, section 2.1: the mean of it over the epochs of a training is the sample's confidence.
    """

    def __init__(self, part: Part, runtime: Runtime) -> None:
        self.part, self.runtime = part, runtime
        self.seen: dict[str, Tensor] = {
            "total": torch.zeros(len(part), dtype=torch.float64),
            "epochs": torch.zeros((), dtype=torch.int64),
            "seconds": torch.zeros((), dtype=torch.float64),
        }

    @property
    def seconds(self) -> float:
        """What looking took."""
        return float(self.seen["seconds"])

    def follow(self, epoch: int, batches: Batches, model: nn.Module, clock: Clock) -> Batches:
        """It is the ends of epochs that count, not the steps."""
        return batches

    def look(self, model: nn.Module) -> None:
        clock = self.runtime.clock()
        clock.start()
        logits = torch.from_numpy(predict(model, self.part, self.runtime)).double()
        own = logits.softmax(1).gather(1, self.part.labels.cpu()[:, None])
        self.seen["total"] += own[:, 0]
        self.seen["epochs"] += 1
        clock.stop()
        self.seen["seconds"] += clock.seconds

    def means(self) -> npt.NDArray[np.float64]:
        """[N], 0 to 1: mean over the epochs. Raises Diverged where logits were not finite."""
        means: npt.NDArray[np.float64] = (self.seen["total"] / self.seen["epochs"]).numpy()
        if not np.isfinite(means).all():
            raise Diverged(
                "the logits on the training part were not finite at the end of an epoch",
                given="infinite or NaN logits",
                allowed="finite logits",
                remedy=SMALLER_RATE,
            )
        return means
