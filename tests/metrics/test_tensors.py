"""Batches of tensors as a source of images."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from guidebench.base import UserError
from guidebench.metrics.images import TensorSource, batches
from guidebench.metrics.images.tensors import Span

PIXELS = torch.randint(0, 256, (7, 3, 6, 5), dtype=torch.uint8)


def everything(source: TensorSource) -> np.ndarray:
    return np.concatenate([b.images_BHWC for b in batches(source, batch_size=3, workers=2)])


def test_bytes_are_kept_and_batches_may_have_any_size() -> None:
    taken: list[int] = []

    def stream() -> Iterator[torch.Tensor]:
        for part in PIXELS.split([1, 4, 2]):
            taken.append(len(part))
            yield part

    source = TensorSource(stream(), num=7)
    np.testing.assert_array_equal(source.read(0), PIXELS[0].permute(1, 2, 0))
    assert taken == [1]  # no more than was asked for
    np.testing.assert_array_equal(everything(source), PIXELS.permute(0, 2, 3, 1))


def test_floats_are_written_as_edm2_does() -> None:
    x = torch.linspace(-1.5, 1.5, 3 * 4 * 4).reshape(1, 3, 4, 4)
    expected = (x * 127.5 + 128).clip(0, 255).to(torch.uint8)
    found = everything(TensorSource([x], num=1, span="-1..1"))
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1))


def test_floats_from_0_to_1_are_those_of_the_bytes() -> None:
    found = everything(TensorSource([PIXELS / 255], num=7, span="0..1"))
    np.testing.assert_array_equal(found, PIXELS.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("span", "sentence"),
    [
        (None, 'floats from -0.5 to 1, .* say span="-1..1" or span="0..1"'),
        ("0..1", 'values from -0.5 to 1, span="0..1" was said'),
        ("0..255", "span is .*, got '0..255'"),
    ],
)
def test_floats_without_their_span_are_refused(span: Span | None, sentence: str) -> None:
    x = torch.linspace(-0.5, 1, 48).reshape(1, 3, 4, 4)
    with pytest.raises(UserError, match=sentence):
        everything(TensorSource([x], num=1, span=span))


def test_more_images_than_announced_are_refused() -> None:
    for parts in ([PIXELS], [PIXELS[:5], PIXELS[5:]]):
        with pytest.raises(UserError, match="go on after the 5 images that were announced"):
            everything(TensorSource(parts, num=5))


def test_tensors_may_carry_gradients_and_any_precision() -> None:
    x = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4).bfloat16()
    expected = everything(TensorSource([x.float()], num=1, span="-1..1"))
    found = everything(TensorSource([x.requires_grad_()], num=1, span="-1..1"))
    np.testing.assert_array_equal(found, expected)


def test_grey_becomes_three_channels() -> None:
    found = everything(TensorSource([PIXELS[:, :1].numpy()], num=7))
    np.testing.assert_array_equal(found, PIXELS[:, :1].expand(-1, 3, -1, -1).permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("given", "num", "sentence"),
    [
        (PIXELS, 8, "end after 7 images, 8 were announced"),
        (torch.full((1, 3, 4, 4), torch.nan), 1, "holds values that are not finite"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 1, "image 0 is one flat colour"),
        (PIXELS[0], 1, r"batches are \[B, 3, H, W\], got shape \(3, 6, 5\)"),
        (PIXELS.to(torch.int64), 7, "images are uint8 or float, got int64"),
    ],
)
def test_what_no_sampler_should_make_is_refused(
    given: torch.Tensor, num: int, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        everything(TensorSource([given], num=num))


def test_what_went_by_is_gone() -> None:
    source = TensorSource([PIXELS], num=7)
    source.read(4)
    with pytest.raises(UserError, match="image 2 is gone"):
        source.read(2)
