import math

import numpy as np
import pytest
import torch

from guidebench.data.digits import (
    GREY_LEVELS,
    NUM_CLASSES,
    Digits,
    decode,
    encode,
    levels_to_uint8,
    load_digits,
)


def test_counts_and_types() -> None:
    digits = load_digits()
    assert digits.images_NHW.shape == (1797, 8, 8)
    assert digits.images_NHW.dtype == np.uint8
    assert (digits.images_NHW.min(), digits.images_NHW.max()) == (0, 255)
    assert digits.labels_N.dtype == np.int64
    assert digits.held_out_N.sum() == 599


def test_all_classes_in_both_parts() -> None:
    digits = load_digits()
    for part in (digits.held_out_N, ~digits.held_out_N):
        counts = np.bincount(digits.labels_N[part], minlength=NUM_CLASSES)
        assert counts.size == NUM_CLASSES
        assert counts.min() > 40


def test_only_the_scans_grey_levels() -> None:
    levels = levels_to_uint8(np.arange(GREY_LEVELS))
    assert (levels[0], levels[-1]) == (0, 255)
    assert np.array_equal(np.unique(load_digits().images_NHW), levels)


def test_decode_inverts_encode() -> None:
    images = load_digits().images_NHW
    encoded = encode(images)
    assert (encoded.shape, encoded.dtype) == ((1797, 1, 8, 8), torch.float32)
    assert np.array_equal(decode(encoded), images)


def test_encoded_has_the_networks_sigma_data() -> None:
    encoded = encode(load_digits().images_NHW)
    assert encoded.std().item() == pytest.approx(0.5, abs=1e-3)
    assert encoded.mean().item() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("shift", [-0.49, 0.49])
def test_decode_rounds_to_the_nearest_level(shift: float) -> None:
    images = load_digits().images_NHW[:100]
    assert np.array_equal(decode(encode(images) + shift * 0.5 / 6.017), images)


def test_decode_clips() -> None:
    x = torch.tensor([-1e6, 1e6, -5.0, 5.0]).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    assert decode(x).reshape(4, -1).max(1).tolist() == [0, 255, 0, 255]
    assert decode(x).reshape(4, -1).min(1).tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_decode_counts_samples_that_are_not_finite(bad: float) -> None:
    x = encode(load_digits().images_NHW[:5])
    x[1, 0, 2, 3] = x[1, 0, 4, 4] = x[3, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="2 of 5 samples hold values that are not finite"):
        decode(x)


def test_digest_sees_pixels_labels_and_split() -> None:
    digits = load_digits()
    images, labels = digits.images_NHW.copy(), digits.labels_N.copy()
    held_out = digits.held_out_N.copy()
    assert Digits(images, labels, held_out).sha256 == digits.sha256
    images[5, 0, 0] ^= 1
    one = Digits(images, digits.labels_N, digits.held_out_N).sha256
    labels[5] += 1
    two = Digits(digits.images_NHW, labels, digits.held_out_N).sha256
    held_out[5] ^= True
    three = Digits(digits.images_NHW, digits.labels_N, held_out).sha256
    assert len({digits.sha256, one, two, three}) == 4
