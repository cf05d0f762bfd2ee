"""Seeds are derived, never passed along: seed = hash(purpose, what it is for).

Two things that must not share randomness have different purposes; a new purpose shifts no other.
"""

from __future__ import annotations

import hashlib

from deepunlearn.core.identity import canonical_json

SEED_BITS = 63  # torch.manual_seed takes a signed 64-bit integer


def derive_seed(purpose: str, *values: str | int) -> int:
    """A seed in [0, 2**63) that depends on `purpose` and `values`, each with its type ("1" and 1 differ)."""
    digest = hashlib.sha256(canonical_json([purpose, *values]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def derive_seed32(purpose: str, *values: str | int) -> int:
    """The same in [0, 2**32), for numpy, scikit-learn and Optuna."""
    return derive_seed(purpose, *values) >> (SEED_BITS - 32)
