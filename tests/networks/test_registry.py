import pytest
import torch

from guidebench.base import UserError
from guidebench.networks import FractalDenoiser, build_denoiser


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(UserError, match="unknown architecture dit; this version builds fractal, e"):
        build_denoiser("dit", {}, {})


@pytest.mark.parametrize("hidden", [8, 32])
def test_misfitting_weights_are_refused_in_one_line(hidden: int) -> None:
    state = FractalDenoiser(hidden=16).state_dict()
    if hidden == 32:
        state = {n: t for n, t in state.items() if n != "gain"}
    with pytest.raises(UserError, match="weights do not fit architecture fractal") as caught:
        build_denoiser("fractal", {"hidden": hidden}, state)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("config", [{}, {"hidden": 16, "num_heads": 4}])
def test_settings_of_another_version_are_refused(config: dict[str, int]) -> None:
    with pytest.raises(UserError, match="cannot build architecture fractal from"):
        build_denoiser("fractal", config, {})


def test_weights_come_back_as_they_were() -> None:
    state = FractalDenoiser(hidden=16).state_dict()
    network = build_denoiser("fractal", {"hidden": 16}, state)
    assert all(torch.equal(t, state[n]) for n, t in network.state_dict().items())
