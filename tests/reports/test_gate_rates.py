"""What docs/gate.md promises, measured: false alarms and power, at a stated seed."""

import pytest
from scipy import stats

from guidebench.reports.gate.judge import Rule

from .gate_simulation import SEED, World, detectable_growth, rates, speed_share

SMALL = World(dim=12, num=600)
ROWS = 4


def test_false_alarms_are_as_rare_as_promised() -> None:
    """250 gates of 4 rows and up to 3 looks in which nothing changed, alpha 5 %."""
    rule = Rule(alpha=0.05, looks=3)
    found = rates(SMALL, rule, trials=250, rows=ROWS, correlation=0.9, growth=0.0, seed=SEED)
    most = stats.binom.ppf(0.999, found.trials, rule.alpha) / found.trials
    assert 0 < found.alarms <= most


@pytest.mark.parametrize("correlation", [0.99, 0.5])
def test_what_is_said_to_be_caught_is_caught(correlation: float) -> None:
    """Told: in 9 of 10 cases at the first look alone; further looks only add to it."""
    rule = Rule(looks=1)
    growth = detectable_growth(SMALL, rule, ROWS, correlation, SEED)
    found = rates(SMALL, rule, trials=200, rows=ROWS, correlation=correlation, growth=growth,
                  seed=SEED + 1)  # fmt: skip
    assert found.caught >= stats.binom.ppf(0.001, found.trials, 0.9) / found.trials
    assert found.alarms <= stats.binom.ppf(0.999, found.trials, rule.alpha) / found.trials


def test_a_speed_race_is_rarely_wrong_and_sees_three_percent() -> None:
    trials = 150
    slower, _ = speed_share(0.0, trials, SEED)
    assert slower <= stats.binom.ppf(0.999, trials, 0.01) / trials
    slower, _ = speed_share(0.05, trials, SEED)
    assert slower >= 0.9
