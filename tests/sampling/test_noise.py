from pathlib import Path

import numpy as np
import pytest
import torch

from guidebench.sampling.noise import PerSeed

GOLDEN = Path(__file__).parents[1] / "golden" / "per_seed_rng_cpu.npz"
SHAPE = (3, 8, 8)


@pytest.mark.parametrize("label_dim", [0, 10, 1000])
def test_draws_are_the_published_ones(label_dim: int) -> None:
    seeds = PerSeed(range(8))
    with np.load(GOLDEN, allow_pickle=False) as file:
        prefix = f"noise_then_label_dim{label_dim}"
        noise = file[f"{prefix}/noise_first8"]
        labels = file[f"{prefix}/label"] if label_dim else None
        after = file[f"{prefix}/next_randn_first4"]
    np.testing.assert_array_equal(seeds.normal(SHAPE).flatten(1)[:, :8], noise)
    if labels is not None:
        np.testing.assert_array_equal(seeds.integer(label_dim), labels)
    np.testing.assert_array_equal(seeds.normal(SHAPE).flatten(1)[:, :4], after)


def test_a_seed_does_not_see_its_batch(device: torch.device) -> None:
    def draws(seeds: list[int]) -> tuple[torch.Tensor, ...]:
        noise = PerSeed(seeds, device)
        return noise.normal(SHAPE), noise.uniform(), noise.integer(10), noise.normal((2,))

    together = draws([5, 3, 9, 3])
    for row, seed in enumerate([5, 3, 9, 3]):
        assert all(torch.equal(t[row], a[0]) for t, a in zip(together, draws([seed]), strict=True))
    assert not torch.equal(together[0][0], together[0][1])


def test_shapes_types_and_ranges() -> None:
    noise = PerSeed(range(500))
    normal, uniform, integer = noise.normal((2,)), noise.uniform(), noise.integer(3)
    assert (normal.shape, normal.dtype) == ((500, 2), torch.float32)
    assert (uniform.shape, uniform.dtype) == ((500,), torch.float32)
    assert (integer.shape, integer.dtype) == ((500,), torch.int64)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert set(integer.tolist()) == {0, 1, 2}
    assert normal.std().item() == pytest.approx(1.0, abs=0.1)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.06)


def test_large_seeds_wrap_as_published() -> None:
    assert torch.equal(PerSeed([7]).normal((4,)), PerSeed([7 + (1 << 32)]).normal((4,)))
