import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebench.reports.numbers import (
    MINUS,
    NO_BREAK,
    binary_size,
    fixed,
    interval,
    measured,
    significant,
    unbroken,
)
from guidebench.reports.record import Display


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1.9349, 0.214, "1.93 ± 0.21"),
        (0.9961, 0.0996, "1.00 ± 0.10"),
        (0.9961, 0.0994, "0.996 ± 0.099"),
        (12345.6, 123.0, "12350 ± 120"),
        (-0.5, 0.02, f"{MINUS}0.500 ± 0.020"),
        (-1e-9, 0.02, "0.000 ± 0.020"),
        (0.25, 0.0, "0.250 ± 0"),
        (3.21e-9, 1.1e-10, f"3.21e{MINUS}09 ± 1.1e{MINUS}10"),
    ],
)
def test_error_has_two_digits_and_value_follows(value: float, error: float, shown: str) -> None:
    assert measured(value, error) == shown


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e4))
def test_shown_value_is_within_rounding(value: float, error: float) -> None:
    left, right = (float(t.replace(MINUS, "-")) for t in measured(value, error).split(" ± "))
    assert abs(left - value) <= 0.051 * error + 1e-9 * abs(value)
    assert math.isclose(right, error, rel_tol=0.051)


def test_percent_scales_value_and_error() -> None:
    assert measured(0.12, 0.005, percent=True) == "12.00 ± 0.50"
    assert measured(0.12, 0.005, percent=True, unit=True) == "12.00 % ± 0.50 %"


def test_interval_has_signs_and_unit() -> None:
    percent = Display(label="x", better="lower", percent=True)
    shown = interval(-0.101, -0.11, -0.092, 0.0046, percent)
    assert shown == f"{MINUS}10.10 percentage points [{MINUS}11.00, {MINUS}9.20]"
    assert interval(0.5, 0.5, 0.5, 0.0, Display(label="x", better="lower")) == "+0.500 exactly"


def test_unbroken_keeps_numbers_whole() -> None:
    text = f"w = 2: 1.9 % ± 0.2 % in (0.1, 1], difference {MINUS}1.0 [{MINUS}2.0, 0.1], paired"
    assert unbroken(text).split(" ") == [
        f"w{NO_BREAK}={NO_BREAK}2:",
        f"1.9{NO_BREAK}%{NO_BREAK}±{NO_BREAK}0.2{NO_BREAK}%",
        "in",
        f"(0.1,{NO_BREAK}1],",
        "difference",
        f"{MINUS}1.0",
        f"[{MINUS}2.0,{NO_BREAK}0.1],",
        "paired",
    ]


def test_small_helpers() -> None:
    assert fixed(-0.0, 2) == "0.00"
    assert significant(-1234.0) == f"{MINUS}1230"
    assert binary_size(80 * 2**30) == "80.0 GiB"
