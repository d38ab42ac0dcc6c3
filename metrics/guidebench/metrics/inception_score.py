"""The Inception score, from class probabilities.

Shapes: N samples, C classes.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from guidebench.metrics._checks import (
    Float64s,
    Floats,
    require_finite,
    require_matrix,
    require_seeds,
)
from guidebench.metrics.estimate import Estimate

_ROWS: Final = 4096


def inception_score(logits_NC: Floats) -> Estimate:
    """The exponential of the mean KL divergence of p(y|x) from p(y), Salimans et al. 2016.

    Over all samples at once: others average over ten splits, which is a little lower. The
    influence is exact to first order, for the change of p(y) cancels.

    Args:
        logits_NC: Of the 2015 Inception network, without bias, as published scores have them.

    Raises:
        ValueError: where `logits_NC` is not a matrix.
        UserError: with fewer than two samples, or where a logit is not finite.
    """
    require_matrix("logits", logits_NC)
    require_seeds("an Inception score", logits_NC.shape[0])
    require_finite("the logits", logits_NC)
    mean_C = sum(np.exp(log_p).sum(axis=0) for log_p in _log_probabilities(logits_NC))
    mean_C = np.asarray(mean_C) / logits_NC.shape[0]
    log_mean_C = np.log(np.maximum(mean_C, np.finfo(np.float64).tiny))
    divergence_N = np.concatenate(
        [
            (np.exp(log_p) * (log_p - log_mean_C)).sum(axis=1)
            for log_p in _log_probabilities(logits_NC)
        ]
    )
    value = math.exp(float(divergence_N.mean()))
    return Estimate(value=value, influence_N=value * (divergence_N - divergence_N.mean()))


def _log_probabilities(logits_NC: Floats) -> Iterator[Float64s]:
    """A few thousand rows at a time: 50,000 x 1,008 in float64 are 400 MB for every step."""
    for start in range(0, logits_NC.shape[0], _ROWS):
        wide: Float64s = logits_NC[start : start + _ROWS].astype(np.float64)
        yield wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
