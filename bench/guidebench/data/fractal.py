"""The 2D fractal of the autoguidance paper: an exact mixture of Gaussians at any noise level.

Karras et al. 2024, arXiv:2406.02507, Appendix C. Two classes, each a tree of seven levels of
branches; each branch is eight anisotropic Gaussians in a row.

Shapes: N points, M components, 2 coordinates (or, after projection, 2 principal axes).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ClassSet = Literal["A", "B", "AB"]
CLASS_SETS: Final[tuple[ClassSet, ...]] = ("A", "B", "AB")

_SEED: Final = 2
_ORIGIN: Final = np.array([0.0030, 0.0325])
_SCALE: Final = np.array([1.3136, 1.3844])
_ROOT_ANGLE: Final = {"A": math.pi / 4, "B": 5 * math.pi / 4}
_MAX_DEPTH: Final = 6
_FRACTIONS: Final = np.linspace(0.07, 0.93, 8)
_CHUNK: Final = 256  # points at a time: N x M temporaries stay inside the last-level cache


@dataclass(frozen=True, slots=True)
class _Component:
    weight: float
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def _branch(
    rng: np.random.RandomState, position: NDArray[np.float64], angle: float, depth: int
) -> Iterator[_Component]:
    """One branch and, depth first, all that grow from its end."""
    length = 0.292 * 0.8**depth * (1 + 0.2 * rng.randn())
    direction = np.array([math.cos(angle), math.sin(angle)])
    along = np.outer(direction, direction)
    thickness = 0.2 * 0.8**depth / length
    spread = _SCALE * length * 0.06
    covariance = (along + thickness**2 * (np.eye(2) - along)) * np.outer(spread, spread)
    for fraction in _FRACTIONS:
        centre = (position + direction * length * fraction) * _SCALE
        yield _Component(length * 0.5**depth, centre, covariance)
    for sign in (1, -1):
        child = angle + sign * 0.7**depth * (1 + 0.2 * rng.randn())  # drawn for leaves too
        if depth < _MAX_DEPTH:
            yield from _branch(rng, position + direction * length, child, depth + 1)


@lru_cache(maxsize=1)
def _trees() -> dict[str, tuple[_Component, ...]]:
    rng = np.random.RandomState(_SEED)  # one stream for both classes, A first
    return {name: tuple(_branch(rng, _ORIGIN, _ROOT_ANGLE[name], 0)) for name in ("A", "B")}


@final
@dataclass(frozen=True, slots=True)
class Fractal:
    """Mixture of M Gaussians, kept by the principal axes of its components.

    Attributes:
        weights_M: mixture weights, summing to 1.
        means_M2: component means.
        axes_M22: unit eigenvectors of each covariance, `axes_M22[m, k]` the k-th.
        variances_M2: the matching eigenvalues.
    """

    weights_M: Tensor
    means_M2: Tensor
    axes_M22: Tensor
    variances_M2: Tensor

    @classmethod
    def of(
        cls,
        classes: ClassSet,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Self:
        """The distribution of class A, of class B, or of both."""
        parts = [c for name in classes for c in _trees()[name]]
        weights = np.array([c.weight for c in parts])
        variances, vectors = np.linalg.eigh(np.stack([c.covariance for c in parts]))

        def tensor(array: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(array).to(device=device, dtype=dtype)

        return cls(
            weights_M=tensor(weights / weights.sum()),
            means_M2=tensor(np.stack([c.mean for c in parts])),
            axes_M22=tensor(np.ascontiguousarray(vectors.transpose(0, 2, 1))),
            variances_M2=tensor(variances),
        )

    @property
    def covariances_M22(self) -> Tensor:  # noqa: N802  shape
        """Component covariances, put together again from axes and variances."""
        return self.axes_M22.mT @ (self.variances_M2.unsqueeze(-1) * self.axes_M22)

    def log_density(self, x_N2: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Log p(x; sigma) per point [N], in nats; sigma is one number or one per point."""
        return self._over_chunks(x_N2, sigma, score=False)[0]

    def score(self, x_N2: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Gradient of log p(x; sigma) with respect to x, [N, 2]."""
        return self._over_chunks(x_N2, sigma, score=True)[1]

    def denoise(self, x_N2: Tensor, sigma: Tensor | float) -> Tensor:
        """Ideal denoiser D(x; sigma) = x + sigma^2 score, Karras et al. 2022."""
        variance = torch.as_tensor(sigma, dtype=x_N2.dtype, device=x_N2.device) ** 2
        return x_N2 + variance.reshape(-1, 1) * self.score(x_N2, sigma)

    def responsibilities(self, x_N2: Tensor) -> Tensor:
        """Posterior of each component given a noise-free point, [N, M]; rows sum to 1."""
        out = torch.empty(len(x_N2), len(self.weights_M), dtype=x_N2.dtype, device=x_N2.device)
        for rows in torch.arange(len(x_N2)).split(_CHUNK):
            logits, _ = self._logits(x_N2[rows], x_N2.new_zeros(1))
            out[rows] = logits.softmax(1)
        return out

    def sample(self, num: int, sigma: Tensor | float, generator: torch.Generator) -> Tensor:
        """`num` exact draws from p(x; sigma), [num, 2]."""
        kind: dict[str, Any] = {"dtype": self.means_M2.dtype, "device": self.means_M2.device}
        u_N = torch.rand(num, generator=generator, **kind)
        within_N2 = torch.randn(num, 2, generator=generator, **kind)
        noise_N2 = torch.randn(num, 2, generator=generator, **kind)
        return self.place(u_N, within_N2, noise_N2, sigma)

    def place(
        self, u_N: Tensor, within_N2: Tensor, noise_N2: Tensor, sigma: Tensor | float
    ) -> Tensor:
        """Turn uniform and standard normal numbers into draws from p(x; sigma), [N, 2]."""
        edges = self.weights_M.cpu().cumsum(0).to(u_N.device)  # CUDA's is not deterministic
        m_N = torch.searchsorted(edges, u_N).clamp_max(len(edges) - 1)
        offset_N2 = within_N2 * self.variances_M2[m_N].sqrt()
        clean = self.means_M2[m_N] + (offset_N2.unsqueeze(1) @ self.axes_M22[m_N]).squeeze(1)
        sigma_N1 = torch.as_tensor(sigma, dtype=clean.dtype, device=clean.device).reshape(-1, 1)
        return clean + sigma_N1 * noise_N2

    def contour_log_density(self, share: float = 0.99, *, num: int = 1 << 16) -> float:
        """Level of log p whose superlevel set holds `share` of the mass.

        The quantile of log p over `num` fixed-seed samples: the share outside is then right
        to sqrt(share (1 - share) / num), 0.04 % for the defaults.
        """
        generator = torch.Generator(self.means_M2.device).manual_seed(0)
        log_p = self.log_density(self.sample(num, 0.0, generator))
        return float(np.quantile(log_p.cpu().numpy(), 1 - share))

    def _over_chunks(
        self, x_N2: Tensor, sigma: Tensor | float, *, score: bool
    ) -> tuple[Tensor, Tensor]:
        sigma_N = torch.as_tensor(sigma, dtype=x_N2.dtype, device=x_N2.device).reshape(-1)
        log_p, gradient = x_N2.new_empty(len(x_N2)), torch.empty_like(x_N2)
        for start in range(0, len(x_N2), _CHUNK):
            rows = slice(start, start + _CHUNK)
            logits, scaled = self._logits(
                x_N2[rows], sigma_N if len(sigma_N) == 1 else sigma_N[rows]
            )
            log_p[rows] = logits.logsumexp(1)
            if score:
                posterior = logits.sub_(log_p[rows].unsqueeze(1)).exp_()
                by_axis = [z.mul_(posterior) @ self.axes_M22[:, k] for k, z in enumerate(scaled)]
                gradient[rows] = -(by_axis[0] + by_axis[1])
        return log_p, gradient

    def _logits(self, x_N2: Tensor, sigma_N: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Log of weight times density per component, and the whitened offsets z_k / var_k.

        One matrix product per axis projects every point on every component's eigenvector.
        Projecting first keeps float32 exact enough: the offsets are small where they matter.
        One sigma for all points leaves the variances a single row, which costs no logarithms.
        """
        variance_N1 = sigma_N.square().unsqueeze(1)
        variances = [self.variances_M2[:, k] + variance_N1 for k in range(2)]
        total = (self.weights_M.log() - math.log(2 * math.pi)) - 0.5 * (
            variances[0] * variances[1]
        ).log()
        if len(total) == 1:
            total = total.expand(len(x_N2), -1).clone()
        scaled = []
        for k, variance in enumerate(variances):
            axis_M2 = self.axes_M22[:, k]
            bias_M = -(axis_M2 * self.means_M2).sum(1)
            offset_NM = torch.addmm(bias_M, x_N2, axis_M2.T)
            scaled_NM = offset_NM / variance
            total.addcmul_(offset_NM, scaled_NM, value=-0.5)
            scaled.append(scaled_NM)
        return total, scaled
