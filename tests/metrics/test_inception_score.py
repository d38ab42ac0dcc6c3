"""The Inception score against torch-fidelity's, closed forms and fresh draws."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from guidebench.base import UserError
from guidebench.metrics.inception_score import inception_score

from .calibration import calibrate


def test_it_is_torch_fidelitys_with_one_split() -> None:
    logits = np.random.default_rng(0).normal(size=(300, 20)) * 3
    theirs = isc_features_to_metric(torch.tensor(logits), splits=1)[KEY_METRIC_ISC_MEAN]
    assert inception_score(logits).value == pytest.approx(theirs, rel=1e-10)


def test_certain_and_balanced_classes_give_their_number() -> None:
    logits = np.where(np.eye(7)[np.arange(70) % 7] > 0, 0.0, -800.0)
    assert inception_score(logits).value == pytest.approx(7)
    assert inception_score(np.zeros((10, 7))).value == pytest.approx(1)


def test_intervals_cover_the_expectation() -> None:
    rng = np.random.default_rng(2)
    found = calibrate(lambda _: inception_score(rng.normal(size=(400, 6)) * 2), 400)
    assert 0.92 <= found.coverage <= 0.98
    assert found.ratio == pytest.approx(1, abs=0.1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="needs at least 2"):
        inception_score(np.zeros((1, 3)))
    with pytest.raises(UserError, match="not finite"):
        inception_score(np.full((4, 3), np.inf))
