import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from guidebench.data import fractal
from guidebench.data.fractal import CLASS_SETS, ClassSet, Fractal
from tests.reference import fractal as literal

GOLDEN = Path(__file__).parents[1] / "golden" / "toy_fractal.npz"
POINTS = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 10)), min_size=1, max_size=5
)


def golden(name: str) -> NDArray[np.float32]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        array: NDArray[np.float32] = file[name]
    return array


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture_of(truth: Fractal) -> literal.Mixture:
    return truth.weights_M.numpy(), truth.means_M2.numpy(), truth.covariances_M22.numpy()


def mean_and_covariance(truth: Fractal, sigma: float) -> tuple[Tensor, Tensor]:
    weights, means = truth.weights_M, truth.means_M2
    mean = weights @ means
    within = (weights[:, None, None] * truth.covariances_M22).sum(0)
    between = (weights[:, None] * means).T @ means - mean.outer(mean)
    return mean, within + between + sigma**2 * torch.eye(2, dtype=means.dtype)


@pytest.mark.parametrize("classes", CLASS_SETS)
def test_mixture_is_the_published_one(classes: ClassSet) -> None:
    truth = Fractal.of(classes)
    assert truth.weights_M.sum().item() == pytest.approx(1.0, abs=1e-12)
    for found, name in (
        (truth.weights_M, "phi"),
        (truth.means_M2, "mu"),
        (truth.covariances_M22, "Sigma"),
    ):
        np.testing.assert_allclose(found, golden(f"{classes}/{name}"), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("classes", CLASS_SETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_and_score_are_the_published_ones(classes: ClassSet, dtype: torch.dtype) -> None:
    """The published code underflows far from the mass; ours must be finite there too."""
    truth = Fractal.of(classes, dtype=dtype)
    x, sigma = (torch.from_numpy(golden(f"{classes}/{n}")).to(dtype) for n in ("x", "sigma"))
    log_p, score = truth.log_density(x, sigma), truth.score(x, sigma)
    assert log_p.isfinite().all()
    assert score.isfinite().all()
    expected_log_p, expected_score = golden(f"{classes}/logp"), golden(f"{classes}/score")
    # Below -80 its float32 densities are subnormal and have lost their digits.
    seen = np.isfinite(expected_log_p) & (expected_log_p > -80)
    assert seen.sum() > 40
    np.testing.assert_allclose(log_p.numpy()[seen], expected_log_p[seen], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(score.numpy()[seen], expected_score[seen], rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=20)
@given(POINTS, st.sampled_from(CLASS_SETS))
def test_agrees_with_the_reference(
    points: list[tuple[float, float, float]], classes: ClassSet
) -> None:
    truth = Fractal.of(classes)
    mixture = mixture_of(truth)
    x = torch.tensor([p[:2] for p in points], dtype=torch.float64)
    sigma = torch.tensor([p[2] for p in points], dtype=torch.float64)
    log_p, score = truth.log_density(x, sigma), truth.score(x, sigma)
    for n, (a, b, level) in enumerate(points):
        point = np.array([a, b])
        terms = literal.log_terms(mixture, point, level)
        assert log_p[n].item() == pytest.approx(literal.log_density(terms), rel=1e-10, abs=1e-10)
        expected = literal.score(mixture, point, level)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(score[n], expected, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("sigma", [0.0, 0.05, 5.0])
def test_one_sigma_is_as_good_as_one_per_point(sigma: float) -> None:
    truth = Fractal.of("A")
    x = truth.sample(600, 0.3, generator())
    each = torch.full((600,), sigma, dtype=torch.float64)
    torch.testing.assert_close(truth.log_density(x, sigma), truth.log_density(x, each))
    torch.testing.assert_close(truth.score(x, sigma), truth.score(x, each))


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.5, 5.0])
def test_score_is_the_gradient_of_the_log_density(sigma: float) -> None:
    truth = Fractal.of("AB")
    x = truth.sample(300, sigma, generator()).requires_grad_()
    (gradient,) = torch.autograd.grad(truth.log_density(x, sigma).sum(), x)
    torch.testing.assert_close(truth.score(x.detach(), sigma), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_chunks_do_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Fractal.of("A")
    x, sigma = truth.sample(60, 0.1, generator()), torch.rand(60, dtype=torch.float64)
    expected = truth.log_density(x, sigma), truth.score(x, sigma), truth.responsibilities(x)
    monkeypatch.setattr(fractal, "_CHUNK", size)
    found = truth.log_density(x, sigma), truth.score(x, sigma), truth.responsibilities(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 0.4])
@pytest.mark.parametrize("classes", CLASS_SETS)
def test_samples_have_the_mixture_s_moments(classes: ClassSet, sigma: float) -> None:
    num = 100_000
    truth = Fractal.of(classes)
    x = truth.sample(num, sigma, generator(1))
    mean, covariance = mean_and_covariance(truth, sigma)
    centred = x - mean
    products = centred.unsqueeze(2) * centred.unsqueeze(1)
    for samples, expected in ((centred, torch.zeros_like(mean)), (products, covariance)):
        standard_error = samples.std(0) / math.sqrt(num)
        assert ((samples.mean(0) - expected).abs() < 4.5 * standard_error).all()


def test_samples_are_the_seed_s_alone() -> None:
    truth = Fractal.of("A")
    first, again, other = (truth.sample(10, 0.1, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_place_fills_every_component_by_its_weight() -> None:
    """The middle of each component's stretch of the unit interval, with no noise: its mean."""
    truth = Fractal.of("AB")
    u = truth.weights_M.cumsum(0) - truth.weights_M / 2
    nothing = torch.zeros(len(u), 2, dtype=torch.float64)
    torch.testing.assert_close(truth.place(u, nothing, nothing, 0.5), truth.means_M2)
    last = truth.place(torch.ones(1, dtype=torch.float64), nothing[:1], nothing[:1], 0.0)
    torch.testing.assert_close(last[0], truth.means_M2[-1])


def test_responsibilities_sum_to_one_and_are_the_reference_s() -> None:
    truth = Fractal.of("A")
    x = truth.sample(300, 0.0, generator())
    found = truth.responsibilities(x)
    torch.testing.assert_close(found.sum(1), torch.ones(300, dtype=torch.float64))
    assert (found >= 0).all()
    for n in range(0, 300, 60):
        terms = literal.log_terms(mixture_of(truth), x[n].numpy(), 0.0)
        expected = np.exp(terms - literal.log_density(terms))
        np.testing.assert_allclose(found[n], expected, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_denoised_is_the_posterior_mean(sigma: float) -> None:
    """Mean of E[clean | x, component] over the components' posterior, Gaussian by Gaussian."""
    truth = Fractal.of("A")
    x = truth.sample(10, sigma, generator())
    noisy = truth.covariances_M22 + sigma**2 * torch.eye(2, dtype=torch.float64)
    offset = x[:, None] - truth.means_M2
    clean = truth.means_M2 + torch.einsum(
        "mij,mjk,nmk->nmi", truth.covariances_M22, noisy.inverse(), offset
    )
    density = torch.distributions.MultivariateNormal(truth.means_M2, noisy)
    posterior = (density.log_prob(x[:, None]) + truth.weights_M.log()).softmax(1)
    expected = (posterior.unsqueeze(2) * clean).sum(1)
    torch.testing.assert_close(truth.denoise(x, sigma), expected, rtol=1e-9, atol=1e-9)


def test_far_away_only_the_whole_is_seen() -> None:
    """At a huge noise level the score is that of one Gaussian with the mixture's moments."""
    truth = Fractal.of("AB")
    x = 1e3 * torch.randn(20, 2, dtype=torch.float64)
    mean, covariance = mean_and_covariance(truth, 1e3)
    expected = -(x - mean) @ covariance.inverse()
    torch.testing.assert_close(truth.score(x, 1e3), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("classes", CLASS_SETS)
def test_contour_leaves_one_percent_outside(classes: ClassSet) -> None:
    num, share = 1 << 13, 0.01
    truth = Fractal.of(classes, dtype=torch.float32)
    level = truth.contour_log_density(1 - share, num=num)
    outside = (truth.log_density(truth.sample(num, 0.0, generator(9))) < level).double().mean()
    standard_error = math.sqrt(share * (1 - share) * 2 / num)
    assert abs(outside.item() - share) < 4 * standard_error


def test_classes_split_the_whole() -> None:
    a, b, both = (Fractal.of(c) for c in CLASS_SETS)
    assert len(a.weights_M) == len(b.weights_M) == 1016
    torch.testing.assert_close(both.means_M2, torch.cat([a.means_M2, b.means_M2]))
