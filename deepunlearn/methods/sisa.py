"""Sharded, isolated, sliced and aggregated training."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem


class Sisa(Method):
    """SISA: an ensemble in place of the original, of which only what has seen the forget set is trained again.

    D is cut into S shards, each into R slices. Each shard has a network of its own, trained on its first slice, then on
    the first two, and so on, with 2 E / (R + 1) epochs each, so that all cost what E epochs on D do; its weights
    before each slice are kept. The prediction is the mean of the networks' softmax. To forget D_F, each shard with a
    sample of it goes back to before the first of its slices with one, and is trained from there without D_F.
    So the result is that of training the ensemble on D_R from the start, bit for bit.
    Source: Bourtoule et al. 2021; S 5, R 4.
    The paper takes a majority vote or, as here, the mean: a vote leaves no probabilities for attacks and losses.
    Ours: each slice has the recipe of the original, learning rate and momentum begin anew; epochs are rounded.
    `likely_class` names a class whose samples are likelier to be deleted: they are together in the last shards and
    slices (section VII of the paper, which also varies the sizes of shards).
    """

    shards: int
    slices: int
    likely_class: int

    def run(self, problem: Problem) -> Iterator[None]:
        shards = problem.shards
        problem.notes |= shards.costs()
        for shard in range(self.shards):
            first = shards.touched.get(shard, self.slices)
            member = problem.model.get_submodule(f"members.{shard}")
            if first < self.slices:
                problem.take_back(member, shard, first)
            for piece in range(self.slices):  # those that stay as they are count too: how many, no plan can know
                if piece >= first:
                    shards.train(member, shard, piece)
                yield
