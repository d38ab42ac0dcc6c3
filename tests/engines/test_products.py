"""Small convolutions as products: the same numbers, whatever the batch, form and layer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.engines.compiled import Compiled
from guidebench.engines.operations import EachOperation, Operator
from guidebench.engines.products import (
    SmallConvolutions,
    channels_by_pixels,
    images_at_once,
    is_narrow,
    is_thin,
    pixels_by_channels,
)
from guidebench.networks import Denoiser, EDM2Denoiser
from guidebench.runs.catalog import select
from guidebench.runs.sample import networks_of


def digits() -> Denoiser:
    return networks_of(select(["digits::none"])[0].spec)["main"]


def network_of(channels: int, resolution: int = 8) -> EDM2Denoiser:
    torch.manual_seed(0)
    network = EDM2Denoiser(
        img_resolution=resolution, img_channels=1, label_dim=0, model_channels=channels,
        channel_mult=[1, 2], num_blocks=1, attn_resolutions=[resolution // 2], channels_per_head=8,
    ).eval()  # fmt: skip
    for name, gain in network.named_parameters():
        if gain.ndim == 0:  # zero at first, which would hide everything
            torch.nn.init.constant_(gain, 0.8 if "out_gain" in name else 0.4)
    return network


def inputs(network: Denoiser, size: int) -> tuple[Tensor, Tensor]:
    labels = torch.eye(10)[torch.arange(size) % 10]
    return torch.randn(size, *network.sample_shape), labels


@pytest.mark.parametrize("form", [pixels_by_channels, channels_by_pixels])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize(
    "shape", [(3, 5, 6, 4), (1, 4, 8, 8), (16, 5, 6, 4), (32, 3, 4, 8), (16, 24, 8, 8)]
)
def test_a_convolution_is_a_product(
    form: Callable[[Tensor, Tensor], Tensor], side: int, shape: tuple[int, ...]
) -> None:
    x, weight = torch.randn(shape), torch.randn(7, shape[1], side, side)
    expected = torch.nn.functional.conv2d(x, weight, padding=side // 2)
    torch.testing.assert_close(form(x, weight), expected, rtol=1e-4, atol=1e-4)


class Convolutions(EachOperation):
    """Counts the calls of the convolution library."""

    count = 0

    @override
    def operation(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.count += func is torch.ops.aten.convolution.default
        return func(*args, **kwargs)


@pytest.mark.parametrize("channels", [8, 48])
@pytest.mark.parametrize("size", [2, 16])
def test_a_whole_network_has_no_convolution_left(channels: int, size: int) -> None:
    """In either form; but for the 1x1 convolutions to query, key and value of 48 channels."""
    network = network_of(channels)
    x, sigma = torch.randn(size, *network.sample_shape), torch.tensor(0.7)
    with torch.no_grad():
        expected = network(x, sigma)
        with Convolutions() as counted, SmallConvolutions(network):
            found = network(x, sigma)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert (expected - x * expected.mul(x).sum() / x.square().sum()).abs().max() > 0.1
        with Convolutions() as plain:
            network(x, sigma)
    assert is_thin(network) == (channels == 8)
    assert (counted.count == 0) == (channels == 8)
    assert counted.count < plain.count


def test_a_batch_of_many_pixels_keeps_its_convolutions() -> None:
    network = network_of(8)
    x, sigma = torch.randn(32, *network.sample_shape), torch.tensor(0.7)
    with torch.no_grad(), Convolutions() as counted, SmallConvolutions(network):
        network(x, sigma)
    assert counted.count > 0


@pytest.mark.parametrize(
    ("channels", "resolution", "size", "expected"),
    [(8, 8, 128, 16), (8, 8, 5, 5), (8, 16, 128, 4), (8, 64, 128, 128), (48, 8, 128, 128)],
)
def test_only_a_thin_network_of_small_images_takes_a_batch_in_pieces(
    channels: int, resolution: int, size: int, expected: int
) -> None:
    network = network_of(channels, resolution)
    assert images_at_once(network, torch.empty(size, *network.sample_shape)) == expected


def test_points_come_in_one_piece() -> None:
    assert images_at_once(nn.Linear(2, 2), torch.empty(4096, 2)) == 4096


def test_a_wide_network_is_not_narrow() -> None:
    assert is_narrow(network_of(16))
    assert not is_narrow(network_of(64))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("size", [37, 32, 16, 5])
def test_pieces_make_the_batch(
    size: int,
    *,
    labelled: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, taken = digits(), list[int]()

    def package(_: Compiled, network: nn.Module, *example: Tensor) -> Callable[..., Tensor]:
        def call(x: Tensor, *rest: Tensor) -> Tensor:
            assert x.shape == example[0].shape
            taken.append(len(x))
            return network(x, *rest)  # type: ignore[no-any-return]

        return call

    monkeypatch.setattr(Compiled, "_package", package)
    x, labels = inputs(network, size)
    asked = labels if labelled else None
    with torch.inference_mode():
        prepared = Compiled(tmp_path_factory.getbasetemp()).prepare(network, x, asked)
        found, expected = prepared(x, 0.7, asked), network(x, torch.tensor(0.7), asked)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert taken == {37: [16, 16, 16], 32: [16, 16], 16: [16], 5: [5]}[size]
