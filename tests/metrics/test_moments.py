import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.metrics import Moments, MomentSums

X = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32) + 2


def moments(batch: int) -> Moments:
    sums = MomentSums(8)
    for start in range(0, 100, batch):
        sums.update(X[start : start + batch])
    return sums.finish()


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batch_size_does_not_matter(batch: int) -> None:
    found = moments(batch)
    np.testing.assert_allclose(found.mean_D, X.mean(axis=0, dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(found.cov_DD, np.cov(X.T.astype(np.float64)), atol=1e-13)
    assert found.count == 100


def test_workers_merge() -> None:
    a, b = MomentSums(8), MomentSums(8)
    a.update(X[:30])
    b.update(X[30:])
    a.merge(b)
    merged, whole = a.finish(), moments(100)
    np.testing.assert_allclose(merged.cov_DD, whole.cov_DD, atol=1e-13)
    assert merged.count == whole.count


def test_one_sample_has_no_covariance() -> None:
    sums = MomentSums(8)
    sums.update(X[:1])
    with pytest.raises(UserError, match="a covariance needs at least 2 samples, got 1"):
        sums.finish()


def test_refusals() -> None:
    sums = MomentSums(8)
    with pytest.raises(UserError, match="feature dimensions differ: 7 and 8"):
        sums.update(X[:, :7])
    with pytest.raises(UserError, match="8 of 16 values of the features are not finite"):
        sums.update(np.where([[True], [False]], np.inf, X[:2]))
    with pytest.raises(ValueError, match="feature dimensions differ: 8 and 7"):
        sums.merge(MomentSums(7))
    assert sums.count == 0
