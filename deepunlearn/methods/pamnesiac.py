"""Partial amnesiac unlearning."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.layerwise import largest_masks, random_masks, shares_by_depth
from deepunlearn.ops.normalisation import mend_variances
from deepunlearn.ops.optim import cosine, descend


class PartialAmnesiac(Method):
    """Partial Amnesiac: as amnesiac unlearning, but of each update only a part is kept, and taken off again.

    theta <- theta_O - sum_{e, b: batch b of epoch e holds a sample of D_F} P_l * Delta_{l,e,b}, where P_l is 1 for a
    share of the entries of layer l that rises with depth, first + (last - first) (l / (L - 1))^power, and 0 elsewhere.
    Early layers hold what all classes have in common and are left mostly alone, so that no repair is needed.
    Source: Gogineni and Nadimi 2025, algorithm 1. P_l is drawn once for all updates, so that P_l times their sum is
    all that is needed; `by=magnitude` keeps the largest entries of the sum, where a deployment would have to choose at
    each update.
    Ours: the default shares, and the repair, as of amnesiac: the source does without (`epochs=0`), and little is left
    where nearly every batch held forget samples. Buffers count as well, see there.
    """

    first: float
    last: float
    power: float
    by: str
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        recorded = problem.recorded.updates  # in any order: a file has its own
        updates = {name: recorded[name] for name in problem.model.state_dict() if name in recorded}
        shares = shares_by_depth(updates, self.first, self.last, self.power)
        if self.by == "magnitude":
            masks = largest_masks(updates, shares)
        else:
            masks = random_masks({name: value.shape for name, value in updates.items()}, shares, problem.generator)
        problem.subtract({name: value * masks[name].to(value.device) for name, value in updates.items()})
        kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
        problem.notes |= problem.recorded.costs(kept) | {"variances_mended": mend_variances(problem.model)}
        if not self.epochs:
            yield
            return
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), cosine(self.lr, self.epochs))
