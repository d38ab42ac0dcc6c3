"""Does a classifier see what was asked for?

Shapes: N samples.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics.estimate import Estimate, mean_estimate


def agreement(predicted_N: NDArray[np.integer[Any]], asked_N: NDArray[np.integer[Any]]) -> Estimate:
    """Share of samples whose predicted label is the label asked for.

    A perfect sampler gets the classifier's own accuracy on real images, not 1; guidance that
    makes images more typical than real ones can exceed it.

    Raises:
        ValueError: where either has another number of axes than 1.
        UserError: where their lengths differ, or with fewer than two samples.
    """
    if predicted_N.shape != asked_N.shape:
        msg = (
            f"{predicted_N.shape} labels predicted, {asked_N.shape} asked for; "
            "give one of each per sample"
        )
        raise UserError(msg)
    return mean_estimate((predicted_N == asked_N) * 1.0)
