"""The mixture's score for a batch as it is usually written: inverses and einsum, N x M x 2 x 2."""

import torch
from torch import Tensor

from guidebench.data.fractal import Fractal


def score(truth: Fractal, x_N2: Tensor, sigma_N: Tensor) -> Tensor:
    covs = truth.covariances_M22 + sigma_N.square().reshape(-1, 1, 1, 1) * torch.eye(2)
    offset = x_N2.unsqueeze(1) - truth.means_M2
    inverse = covs.inverse()
    distance = torch.einsum("nmi,nmij,nmj->nm", offset, inverse, offset)
    logits = truth.weights_M.log() - 0.5 * (distance + covs.det().log())
    return -torch.einsum("nm,nmij,nmj->ni", logits.softmax(1), inverse, offset)
