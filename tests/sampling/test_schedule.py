import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guidebench.sampling import HeunSpec, deterministic_heun
from guidebench.sampling.schedule import karras_sigmas

PAPER = (
    80, 66.93, 55.74, 46.19, 38.07, 31.22, 25.45, 20.61, 16.59, 13.26, 10.52, 8.28, 6.46, 5.00,
    3.83, 2.90, 2.17, 1.61, 1.17, 0.845, 0.598, 0.415, 0.283, 0.189, 0.123, 0.0774, 0.0474,
    0.0279, 0.0158, 0.0085, 0.0043, 0.002, 0,
)  # fmt: skip


def spec(**changed: object) -> HeunSpec:
    return HeunSpec.model_validate(deterministic_heun(16, sigma_max=80.0).model_dump() | changed)


def test_published_levels() -> None:
    found = karras_sigmas(32, sigma_min=0.002, sigma_max=80, rho=7)
    assert found == pytest.approx(PAPER, rel=8e-3, abs=1e-12)
    assert [s.sigma for s in deterministic_heun(32, sigma_max=80).steps()] == list(found[:-1])


@given(
    st.integers(2, 200), st.floats(1e-4, 0.1), st.floats(0.2, 1e3), st.floats(1, 10)
)  # fmt: skip
def test_levels_fall_from_the_largest_to_zero(n: int, lo: float, hi: float, rho: float) -> None:
    found = karras_sigmas(n, sigma_min=lo, sigma_max=hi, rho=rho)
    assert len(found) == n + 1
    assert found[0] == pytest.approx(hi)
    assert found[-2] == pytest.approx(lo, rel=1e-6)
    assert found[-1] == 0.0
    assert all(a > b for a, b in pairwise(found))


def test_one_step_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="num_steps must be >= 2, got 1"):
        karras_sigmas(1, sigma_min=0.002, sigma_max=80, rho=7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sigma_min", 80.0), ("sigma_min", 81.0), ("sigma_min", 0.0), ("sigma_max", math.inf),
        ("num_steps", 1), ("rho", 0.0), ("s_churn", -1.0), ("s_noise", math.nan),
        ("kind", "euler"), ("surprise", 1),
    ],
)  # fmt: skip
def test_refusals(field: str, value: float | str) -> None:
    with pytest.raises(ValidationError):
        spec(**{field: value})


def test_order_of_levels_is_told() -> None:
    with pytest.raises(ValidationError, match=r"need sigma_min < sigma_max, got 80\.0 and 80\.0"):
        spec(sigma_min=80.0)


def test_without_churn_no_step_raises_its_noise() -> None:
    assert all(s.sigma_hat == s.sigma for s in spec().steps())


def test_churn_is_within_its_range_and_bounded() -> None:
    steps = spec(s_churn=4.0, s_min=0.05, s_max=50.0).steps()
    for step in steps:
        inside = 0.05 <= step.sigma <= 50.0
        assert step.sigma_hat == pytest.approx(step.sigma * (1.25 if inside else 1.0))
    assert {s.sigma_hat > s.sigma for s in steps} == {False, True}
    most = spec(s_churn=1e6).steps()
    assert all(s.sigma_hat == pytest.approx(s.sigma * math.sqrt(2)) for s in most)


def test_json_gives_it_back() -> None:
    found = spec(s_churn=4.0)
    assert HeunSpec.model_validate_json(found.model_dump_json()) == found
