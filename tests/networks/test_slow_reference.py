"""The slow reference network itself, against outputs of the published implementation."""

import pytest
import torch

from tests.networks.test_edm2 import NAMES, golden
from tests.reference.edm2 import SlowEDM2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_slow_reference_agrees_with_the_published_network(name: str, dtype: torch.dtype) -> None:
    config, state, arrays = golden(name)
    state = {key: value.to(dtype) for key, value in state.items()}
    slow = SlowEDM2(state, channels_per_head=config.get("channels_per_head", 64))
    x, labels = arrays["in/x"].to(dtype), arrays.get("in/labels")
    labels = None if labels is None else labels.to(dtype)
    rows = [slow(x, float(sigma), labels)[n] for n, sigma in enumerate(arrays["in/sigma"])]
    torch.testing.assert_close(
        torch.stack(rows), arrays["out/D"].to(dtype), rtol=1e-5, atol=1e-5
    )  # fmt: skip
    if name == "cond":
        rows = [slow(x, float(sigma))[n] for n, sigma in enumerate(arrays["in/sigma"])]
        expected = arrays["out/D_nolabel"].to(dtype)
        torch.testing.assert_close(torch.stack(rows), expected, rtol=1e-5, atol=1e-5)
