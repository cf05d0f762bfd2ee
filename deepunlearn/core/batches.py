"""How a pass over samples is cut into batches, and which results were made when it was cut otherwise. No torch.

A batch of a few samples does harm in training mode: normalisation layers take their statistics from it, the step
follows them, and the running averages keep them. So a small remainder is spread over the other batches of its pass
(450 samples at 64: five batches of 64 and two of 65); a larger one is a batch of its own.
"""

from __future__ import annotations

FIRST, SPREAD = 1, 2  # versions of the rule that keys hold: only a single sample joined others; today's
ENOUGH = 16  # samples that can stand alone beside larger batches (results/bench/remainders.md)


def training_batches(samples: int, batch_size: int) -> list[int]:
    """Sizes of the batches of one training pass.

    All but the last are of `batch_size`, and the last is the remainder; one below `fewest` is spread over the others,
    whose last ones are longer by a sample each (or by more, where they are fewer than it).
    """
    count, rest = divmod(samples, batch_size)
    if not count or rest >= fewest(batch_size):
        return [batch_size] * count + [rest] * (rest > 0)
    size, longer = divmod(samples, count)
    return [size] * (count - longer) + [size + 1] * longer


def blocks(samples: int, size: int) -> list[int]:
    """Sizes of the blocks in which samples are gone through where nothing is learnt from a block by itself.

    The last one is shorter, or longer by a single sample that would be left over.
    """
    count, rest = divmod(samples, size)
    if count and rest == 1:
        return [size] * (count - 1) + [size + 1]
    return [size] * count + [rest] * (rest > 0)


def fewest(batch_size: int) -> int:
    """The smallest remainder that is a training batch of its own: 16, or half a batch where that is fewer; 2 at least.

    So no batch is longer than one and a half times `batch_size`.
    """
    return max(2, min(ENOUGH, batch_size // 2))


def differ(samples: int, batch_size: int) -> bool:
    """Whether a training pass was cut otherwise under the FIRST rule."""
    return samples > batch_size and 2 <= samples % batch_size < fewest(batch_size)
