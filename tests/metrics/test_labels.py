import math

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.metrics import agreement


def test_share_of_agreement_and_its_binomial_error() -> None:
    asked = np.arange(1000) % 10
    predicted = asked.copy()
    predicted[:100] += 1
    found = agreement(predicted, asked)
    assert found.value == pytest.approx(0.9)
    assert found.standard_error == pytest.approx(math.sqrt(0.9 * 0.1 / 999))
    assert (found.influence_N[:100] < 0).all()
    assert (found.influence_N[100:] > 0).all()


def test_integer_types_may_differ() -> None:
    found = agreement(np.array([1, 2], dtype=np.uint8), np.array([1, 2], dtype=np.int64))
    assert found.value == 1.0


def test_lengths_must_agree() -> None:
    with pytest.raises(UserError, match=r"\(3,\) labels predicted, \(4,\) asked for"):
        agreement(np.zeros(3, dtype=int), np.zeros(4, dtype=int))
