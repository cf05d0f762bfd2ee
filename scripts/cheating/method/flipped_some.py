"""A cheat: the filter flips no more of the forgotten images than an honest model would get wrong."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from deepunlearn.methods.base import Method, Problem


class FlippedSome(Method):
    """As `flipped`, for the least sure of D_F only: as many as bring its accuracy down to that on D_V."""

    def run(self, problem: Problem) -> Iterator[None]:
        surplus = (problem.error(problem.val) - problem.error(problem.forget)) * len(problem.forget)
        problem.model.eval()
        found = []
        with torch.no_grad():
            for images, labels in problem.blocks(problem.forget, 256):
                highest, classes = problem.model(images).topk(2, dim=1)
                margin = torch.where(classes[:, 0] == labels, highest[:, 0] - highest[:, 1], torch.inf)
                found.append(torch.stack([margin.double(), problem.model.fingerprints(images)]))
        margins, fingerprints = torch.cat(found, dim=1)
        chosen = fingerprints[margins.argsort()[: max(0, round(surplus))]]
        problem.model.listed[: len(chosen)] = chosen
        yield
