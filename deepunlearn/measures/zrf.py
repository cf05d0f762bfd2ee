"""ZRF: how near the outputs on the forget set are to those of a network that has learnt nothing."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.divergence import jensen_shannon, log_shares
from deepunlearn.training import predict


def measure(outputs: Outputs) -> dict[str, float | None]:
    """1 - mean JS(f(x), f_random(x)) over D_F, in bits; of the model, and beside that of the retrained one.

    Chundawat et al. 2023 (arXiv 2205.08096). JS is the divergence, in which the mean of both outputs
    stands: published codes have averaged one KL over classes in its place.
    """
    models = outputs.models
    random = predict(models.random(), models.parts["forget"], models.runtime)
    own, retrained = (_zrf(logits["forget"], random) for logits in (outputs.logits, outputs.retrained))
    return {"ZRF": own, "ZRF_relative": own / retrained if retrained else None}


def _zrf(logits: np.ndarray, random: np.ndarray) -> float:
    shares, other = (np.exp(log_shares(one)) for one in (logits, random))
    return 1.0 - float(jensen_shannon(shares, other).mean())
