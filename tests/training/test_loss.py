import math
from typing import TYPE_CHECKING, cast

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from guidebench.data.fractal import Fractal
from guidebench.training.loss import EDM2Loss, ScoreMatchingLoss

if TYPE_CHECKING:
    from guidebench.networks import EDM2Denoiser, FractalDenoiser

CLEAN = torch.full((6, 1, 8, 8), 0.3)
EDM2 = EDM2Loss(p_mean=-0.8, p_std=1.2)
SCORES = ScoreMatchingLoss(p_mean=-2.3, p_std=1.5)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Fake:
    """Answers the clean image plus `error`, with log-variance ln(sigma) times `slope`."""

    sigma_data = 0.5

    def __init__(self, *, error: float, slope: float) -> None:
        self.error, self.slope = error, slope
        self.noisy, self.sigma = torch.empty(0), torch.empty(0)
        self.labels: Tensor | None = None

    def __call__(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        self.noisy, self.sigma, self.labels = x, sigma, labels
        return CLEAN + self.error

    def log_variance(self, sigma: Tensor) -> Tensor:
        return (self.slope * sigma.log()).reshape(-1, 1, 1, 1)


def edm2_loss(fake: Fake, labels: Tensor | None = None) -> float:
    return EDM2(cast("EDM2Denoiser", fake), CLEAN, labels, generator()).item()


def test_perfection_leaves_the_uncertainty_alone() -> None:
    fake = Fake(error=0.0, slope=1.0)
    assert edm2_loss(fake) == pytest.approx(fake.sigma.log().mean().item())
    assert edm2_loss(Fake(error=0.0, slope=0.0)) == 0.0


def test_error_is_weighted_as_written() -> None:
    fake, labels = Fake(error=0.1, slope=0.5), torch.eye(6)
    found = edm2_loss(fake, labels)
    expected = [
        (s * s + 0.25) / (s * 0.5) ** 2 / math.exp(0.5 * math.log(s)) * 0.01 + 0.5 * math.log(s)
        for s in fake.sigma.tolist()
    ]
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert fake.labels is labels


def test_noise_has_its_level() -> None:
    clean = torch.zeros(4000, 1, 8, 8)

    class Zero(Fake):
        @override
        def __call__(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            super().__call__(x, sigma, labels)
            return torch.zeros_like(x)

    fake = Zero(error=0.0, slope=0.0)
    assert EDM2(cast("EDM2Denoiser", fake), clean, None, generator()).item() == 0.0
    unit = fake.noisy / fake.sigma.reshape(-1, 1, 1, 1)
    assert unit.std().item() == pytest.approx(1.0, abs=0.01)
    assert fake.sigma.log().mean().item() == pytest.approx(-0.8, abs=0.08)
    assert fake.sigma.log().std().item() == pytest.approx(1.2, abs=0.06)


class Score:
    """The exact score, off by `error` / sigma in both coordinates."""

    def __init__(self, truth: Fractal, error: float) -> None:
        self.truth, self.error = truth, error

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.truth.score(x, sigma) + self.error / sigma.unsqueeze(1)


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_score_error_is_in_units_of_the_noise(error: float) -> None:
    truth = Fractal.of("A", dtype=torch.float32)
    fake = cast("FractalDenoiser", Score(truth, error))
    assert SCORES(fake, truth, 64, generator()).item() == pytest.approx(error**2, abs=1e-5)


def test_another_distributions_score_is_worse() -> None:
    a, b = (Fractal.of(c, dtype=torch.float32) for c in ("A", "B"))
    assert SCORES(cast("FractalDenoiser", Score(b, 0.0)), a, 64, generator()).item() > 0.1
