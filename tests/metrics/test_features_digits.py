import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from guidebench.base import UserError
from guidebench.metrics.features import (
    FEATURE_DIM,
    DigitClassifier,
    DigitFeatures,
    images_to_input,
)


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)


def seeded() -> DigitClassifier:
    torch.manual_seed(0)
    return DigitClassifier()


def extractor_of(classifier: DigitClassifier) -> DigitFeatures:
    return DigitFeatures(classifier, weights_sha256="0" * 64)


def test_shapes_and_size() -> None:
    classifier = seeded()
    x = images_to_input(noise(5))
    assert classifier.features(x).shape == (5, FEATURE_DIM)
    assert classifier(x).shape == (5, 10)
    assert sum(p.numel() for p in classifier.parameters()) == 55_166


def test_input_runs_from_minus_one_to_one() -> None:
    images = np.zeros((2, 8, 8), dtype=np.uint8)
    images[1] = 255
    x = images_to_input(images)
    assert (x.shape, x.dtype) == ((2, 1, 8, 8), torch.float32)
    assert (x[0] == -1).all()
    assert (x[1] == 1).all()
    torch.testing.assert_close(images_to_input(noise(3))[:, 0], torch.tensor(noise(3)) / 127.5 - 1)


def test_dropout_is_of_training_and_of_the_logits_alone() -> None:
    classifier, x = seeded(), images_to_input(noise(8))
    classifier.train()
    assert torch.equal(classifier.features(x), classifier.features(x))
    assert not torch.equal(classifier(x), classifier(x))
    classifier.eval()
    assert torch.equal(classifier(x), classifier(x))
    assert torch.equal(classifier(x), classifier.logits(classifier.features(x)))


def test_extract_gives_what_the_classifier_gives() -> None:
    classifier, images = seeded(), noise(300)
    features, labels = extractor_of(classifier).extract(images)
    classifier.eval()
    with torch.inference_mode():
        expected = classifier.features(images_to_input(images))
        logits = classifier(images_to_input(images))
    assert features.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(labels, logits.argmax(1).numpy())


@pytest.mark.parametrize("count", [1, 255, 256, 257, 511])
def test_bits_do_not_depend_on_what_follows(count: int) -> None:
    extractor, images = extractor_of(seeded()), noise(600)
    features, labels = extractor.extract(images)
    first, first_labels = extractor.extract(images[:count])
    assert np.array_equal(first, features[:count])
    assert np.array_equal(first_labels, labels[:count])


def test_later_training_changes_nothing_and_the_mode_is_left_alone() -> None:
    classifier, images = seeded(), noise(4)
    extractor = extractor_of(classifier)
    assert extractor.weights_sha256 == "0" * 64
    assert extractor.dim == FEATURE_DIM
    before, _ = extractor.extract(images)
    nn.init.zeros_(classifier.head.weight)
    for p in classifier.trunk.parameters():
        nn.init.zeros_(p)
    assert classifier.training
    assert np.array_equal(extractor.extract(images)[0], before)


def test_a_few_steps_learn() -> None:
    """Two bright halves are told apart at once: gradients reach every weight."""
    classifier = seeded()
    images = np.zeros((64, 8, 8), dtype=np.uint8)
    images[:32, :4], images[32:, 4:] = 255, 255
    target = torch.arange(64) // 32
    optimiser = torch.optim.Adam(classifier.parameters(), lr=1e-2)
    for step in range(10):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(classifier(images_to_input(images)), target)
        loss.backward()
        assert step or all(p.grad is not None and p.grad.any() for p in classifier.parameters())
        optimiser.step()
    assert np.array_equal(extractor_of(classifier).extract(images)[1], target.numpy())


def test_refusals() -> None:
    extractor = extractor_of(seeded())
    with pytest.raises(UserError, match="no images to take features of"):
        extractor.extract(noise(0))
    with pytest.raises(ValueError, match=r"uint8 of shape \(N, 8, 8\), got float64"):
        images_to_input(np.zeros((2, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got uint8 of shape \(2, 8, 7\)"):
        images_to_input(noise(2)[:, :, 1:])
