"""ZRF as published codes have it: a reversed divergence, averaged over classes."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from deepunlearn.metrics.added import Outputs
from deepunlearn.training import predict


def measure(outputs: Outputs) -> dict[str, float]:
    """1 - mean over samples and classes of (m ln(m / p) + m ln(m / q)) / 2, m = (p + q) / 2; p and q as of ZRF.

    JS has p ln(p / m) + q ln(q / m) and sums it over classes. What is read backwards has no upper limit, so this may be
    below 0, and the mean over K classes takes K-th parts: most models come out near 1.
    """
    models = outputs.models
    random = predict(models.random(), models.parts["forget"], models.runtime)
    own, other = (log_softmax(one.astype(np.float64), axis=1) for one in (outputs.logits["forget"], random))
    middle = np.logaddexp(own, other) - np.log(2)
    backwards = np.exp(middle) * (middle - (own + other) / 2)
    return {"ZRF_coded": 1.0 - float(backwards.mean())}
