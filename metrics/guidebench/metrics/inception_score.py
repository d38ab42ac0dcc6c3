"""The Inception score, from class probabilities.

Shapes: N samples, C classes.
"""

import math

import numpy as np

from guidebench.metrics._checks import Floats, require_finite, require_matrix, require_seeds
from guidebench.metrics.estimate import Estimate


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
    wide = logits_NC.astype(np.float64)
    log_p_NC = wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
    p_NC = np.exp(log_p_NC)
    log_mean_C = np.log(np.maximum(p_NC.mean(axis=0), np.finfo(np.float64).tiny))
    divergence_N = (p_NC * (log_p_NC - log_mean_C)).sum(axis=1)
    value = math.exp(float(divergence_N.mean()))
    return Estimate(value=value, influence_N=value * (divergence_N - divergence_N.mean()))
