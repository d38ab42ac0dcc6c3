import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from guidebench.guidance import (
    SCHEMES,
    Constant,
    Identity,
    Interval,
    NetworkPrediction,
    Prediction,
    Scheme,
    Term,
)

MAIN = NetworkPrediction(network="main", labels="asked")
GUIDE = NetworkPrediction(network="guide", labels="asked")
OTHER = NetworkPrediction(network="unconditional", labels="none")


def interval(stage: str = "step", sigma_lo: float = 0.5, sigma_hi: float = 1.0) -> Interval:
    fields = {"weight": 3.0, "sigma_lo": sigma_lo, "sigma_hi": sigma_hi, "stage": stage}
    return Interval.model_validate(fields)


def test_interval_is_open_below_and_closed_above() -> None:
    gains = [interval().gain(s, s) for s in (0.1, 0.5, 0.5000001, 1.0, 1.0000001, 80.0)]
    assert gains == [0.0, 0.0, 2.0, 2.0, 0.0, 0.0]


def test_stage_says_whose_sigma_counts() -> None:
    """A step from inside the interval to outside, and one from outside to inside."""
    assert interval("step").gain(0.4, 0.9) == 2.0
    assert interval("own").gain(0.4, 0.9) == 0.0
    assert interval("step").gain(0.9, 1.5) == 0.0
    assert interval("own").gain(0.9, 1.5) == 2.0


@pytest.mark.parametrize(("lo", "hi"), [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0)])
def test_interval_has_an_inside(lo: float, hi: float) -> None:
    with pytest.raises(ValidationError, match="need 0 <= sigma_lo < sigma_hi"):
        interval(sigma_lo=lo, sigma_hi=hi)


def test_constant_is_the_same_everywhere() -> None:
    assert {Constant(weight=1.5).gain(s, s) for s in (0.002, 1.0, 80.0)} == {0.5}


def test_outside_the_interval_nothing_is_computed() -> None:
    scheme = SCHEMES["cfg-interval"](weight=3.0, sigma_lo=0.5, sigma_hi=1.0)
    main = torch.randn(2)

    def predict(prediction: Prediction) -> Tensor:
        if prediction != MAIN:
            raise AssertionError(prediction)
        return main

    for sigma in (0.1, 0.5, 1.5):
        assert torch.equal(scheme.combine(predict, scheme.gains(sigma, sigma)), main)
    with pytest.raises(AssertionError, match="unconditional"):
        scheme.combine(predict, scheme.gains(0.9, 0.9))


def two_terms() -> Scheme:
    def term(minus: NetworkPrediction, weight: float) -> Term:
        return Term(plus=MAIN, minus=minus, shape=Identity(), schedule=Constant(weight=weight))

    return Scheme(name="both", primary=MAIN, terms=(term(GUIDE, 1.5), term(OTHER, 3.0)))


def test_terms_add_and_share_predictions() -> None:
    scheme = two_terms()
    gains = scheme.gains(1.0, 1.0)
    assert gains == (0.5, 2.0)
    assert scheme.needed(gains) == (MAIN, GUIDE, OTHER)
    assert scheme.needed((0.0, 2.0)) == (MAIN, OTHER)
    assert scheme.roles() == ("main", "guide", "unconditional")
    found: dict[Prediction, Tensor] = {
        p: torch.randn(3, dtype=torch.float64) for p in (MAIN, GUIDE, OTHER)
    }
    left = dict(found)
    guided = scheme.combine(left.pop, gains)
    expected = found[MAIN] * 3.5 - 0.5 * found[GUIDE] - 2.0 * found[OTHER]
    torch.testing.assert_close(guided, expected)


def test_as_many_gains_as_terms() -> None:
    with pytest.raises(ValueError, match="zip"):
        two_terms().needed((1.0,))


def test_a_scheme_needs_a_name() -> None:
    with pytest.raises(ValidationError, match="a scheme needs a name"):
        Scheme(name="", primary=MAIN, terms=())
