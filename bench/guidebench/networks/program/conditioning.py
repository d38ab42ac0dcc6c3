"""What a network takes from the noise level and the labels, for a whole schedule at once.

All noise levels of a schedule are known before it starts, so that the embedding and the factors of
all blocks are one product for all evaluations, and the preconditioning is a small table.

Shapes: S noise levels, R different rows of labels, B images, L labels, E embedding channels, M
columns that instructions take.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.layers import SILU_MAGNITUDE
from guidebench.networks.precondition import EDM2Denoiser
from guidebench.networks.program.lower_fractal import scaled_weights
from guidebench.networks.unet import EMBEDDING_BALANCE

_ROWS: Final = 16


@final
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Conditioning of all evaluations of a schedule; made and read by a `Program`.

    Attributes:
        sigmas: the noise levels.
        coefficients_S3: c_in, c_skip and c_out, float32.
        columns_SRM: float32.
        row_B: which of the R rows each image takes; None where there is one.
    """

    sigmas: tuple[float, ...]
    coefficients_S3: Tensor
    columns_SRM: Tensor
    row_B: Tensor | None


class AbstractConditioning(ABC):
    """One network's conditioning."""

    label_dim: int
    num_columns: int

    @abstractmethod
    def coefficients(self, sigma: float) -> tuple[float, float, float]:
        """c_in, c_skip and c_out."""

    @abstractmethod
    def columns(self, sigmas_S: Tensor, labels_RL: Tensor) -> Tensor:
        """What instructions take, float32 [S, R, M], from float64."""

    def table(self, sigmas: Sequence[float], labels_BL: Tensor | None) -> Table:
        """The table of a schedule; equal labels are embedded once.

        Raises:
            ValueError: for a noise level that is not positive and finite.
        """
        levels = tuple(float(sigma) for sigma in sigmas)
        wrong = [sigma for sigma in levels if not (sigma > 0 and math.isfinite(sigma))]
        if wrong:
            msg = f"noise levels are positive and finite; got {wrong[0]}"
            raise ValueError(msg)
        row_B = None
        labels_RL = torch.zeros(1, self.label_dim, dtype=torch.float64)
        if labels_BL is not None and self.label_dim:
            labels_RL, row_B = labels_BL.double().unique(dim=0, return_inverse=True)
            row_B = row_B if len(labels_RL) > 1 else None
        sigmas_S = torch.tensor(levels, dtype=torch.float64)
        numbers = torch.tensor([self.coefficients(sigma) for sigma in levels])
        return Table(levels, numbers.float(), self.columns(sigmas_S, labels_RL), row_B)


@final
class EDM2Conditioning(AbstractConditioning):
    """Factors of all blocks: Karras et al. 2023, arXiv:2312.02696, config G.

    The small embedding is computed in float64 and rounded once.
    """

    def __init__(self, denoiser: EDM2Denoiser) -> None:
        unet = denoiser.unet
        assert unet.modulation_OE is not None
        assert unet.emb_noise.baked is not None
        self.label_dim, self._sigma_data = denoiser.label_dim, denoiser.sigma_data
        self._freqs, self._phases = unet.emb_fourier.freqs, unet.emb_fourier.phases
        self._noise_WE = unet.emb_noise.baked.double().T
        self._label_LE = None
        if unet.emb_label is not None:
            assert unet.emb_label.baked is not None
            self._label_LE = unet.emb_label.baked.double().T * math.sqrt(self.label_dim)
        self._factors_EM = unet.modulation_OE.T
        self.num_columns = len(unet.modulation_OE)

    @override
    def coefficients(self, sigma: float) -> tuple[float, float, float]:
        total = sigma**2 + self._sigma_data**2
        c_out = sigma * self._sigma_data / math.sqrt(total)
        return 1 / math.sqrt(total), self._sigma_data**2 / total, c_out

    @override
    def columns(self, sigmas_S: Tensor, labels_RL: Tensor) -> Tensor:
        angles_SW = (sigmas_S.log() / 4).outer(self._freqs.double()) + self._phases.double()
        noise_SE = product_by_rows(angles_SW.cos() * math.sqrt(2), self._noise_WE)
        emb_SRE = noise_SE.unsqueeze(1)
        if self._label_LE is not None:
            label_RE = product_by_rows(labels_RL, self._label_LE)
            t = EMBEDDING_BALANCE
            emb_SRE = ((1 - t) * emb_SRE + t * label_RE) / math.hypot(1 - t, t)
        emb_SRE = (F.silu(emb_SRE) / SILU_MAGNITUDE).float()
        factors_NM = product_by_rows(emb_SRE.flatten(0, 1), self._factors_EM) + 1
        return factors_NM.reshape(*emb_SRE.shape[:2], self.num_columns)


@final
class FractalConditioning(AbstractConditioning):
    """The first layer's share of the noise level and the constant; see `lower_fractal`."""

    label_dim = 0

    def __init__(self, denoiser: FractalDenoiser) -> None:
        first_H4 = scaled_weights(denoiser)[0]
        self._of_noise_H, self._of_one_H = first_H4[:, 2], first_H4[:, 3]
        self.num_columns = denoiser.hidden
        self._sigma_data = denoiser.sigma_data
        self._gain = 2 * float(denoiser.gain) / denoiser.hidden

    @override
    def coefficients(self, sigma: float) -> tuple[float, float, float]:
        total = sigma**2 + self._sigma_data**2
        c_in = 1 / math.sqrt(total)
        return c_in, self._sigma_data**2 / total, self._gain * sigma * c_in

    @override
    def columns(self, sigmas_S: Tensor, labels_RL: Tensor) -> Tensor:
        rows_SH = (sigmas_S.log() / 4).outer(self._of_noise_H) + self._of_one_H
        return rows_SH.float().unsqueeze(1)


def product_by_rows(a_NK: Tensor, b_KM: Tensor) -> Tensor:
    """Matrix product a b [N, M], in products of a fixed size.

    A matrix product's rounding depends on the number of rows; a row's must not depend on the
    company that it keeps.
    """
    n, k = a_NK.shape
    padded = F.pad(a_NK, (0, 0, 0, -n % _ROWS)).reshape(-1, _ROWS, k)
    out = padded.new_empty(len(padded), _ROWS, b_KM.shape[1])
    for rows, into in zip(padded, out, strict=True):
        torch.mm(rows, b_KM, out=into)
    return out.flatten(0, 1)[:n]
