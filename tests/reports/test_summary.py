import re

import numpy as np
import pytest

from guidebench.reports.compare import difference
from guidebench.reports.groups import group_records
from guidebench.reports.numbers import MINUS
from guidebench.reports.store import StoredRecord
from guidebench.reports.summary import difference_sentence, difference_words, summary

from .test_compare import run


def test_leader_is_named_with_difference_and_price(fractal: list[StoredRecord]) -> None:
    (group,) = group_records(fractal)
    first, *_, price = summary(group)
    none, best = (next(r for r in fractal if r.record.row == n) for n in ("none", "autoguidance"))
    found = difference(best, none, "outlier_rate")
    assert first.startswith("Autoguidance, w = 3 has the lowest outlier rate: 3.30 % ± 0.28 %")
    assert f"difference {MINUS}{abs(100 * found.value):.2f} % [" in first
    assert first.endswith("], paired.")
    assert price.endswith("126 network calls per sample, against 63 for No guidance.")


def test_open_race_is_called_open(digits: list[StoredRecord]) -> None:
    (group,) = group_records(digits)
    sentences = summary(group)
    assert len(sentences) == 2
    assert all(s.startswith("No scheme has a separably") for s in sentences)
    assert all("which includes 0." in s for s in sentences)


def test_metrics_without_a_better_side_are_left_out(fractal: list[StoredRecord]) -> None:
    (group,) = group_records(fractal)
    assert not any("log-density" in s for s in summary(group))


def test_only_scheme(fractal: list[StoredRecord]) -> None:
    (group,) = group_records([r for r in fractal if r.record.row == "none"])
    assert summary(group)[0].startswith("No guidance is the only scheme with outlier rate: ")


def test_unguided_winner_is_held_against_the_next(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("runs")
    noise_N = np.random.default_rng(0).standard_normal(100)
    records = [run(out, name, noise_N + mean + 0.01 * np.random.default_rng(1).standard_normal(100))
               for name, mean in (("none", 0.0), ("cfg", 1.0), ("auto", 0.5))]  # fmt: skip
    (group,) = group_records(records)
    assert best_words(summary(group)[0]) == ("none", "auto")


def best_words(sentence: str) -> tuple[str, str]:
    found = re.match(r"(\w+) has the lowest score: .* for (\w+); difference", sentence)
    assert found is not None
    return found[1], found[2]


def test_difference_sentence_says_when_it_is_open(digits: list[StoredRecord]) -> None:
    a, b = (next(r for r in digits if r.record.row == n) for n in ("autoguidance", "cfg-interval"))
    found = difference(a, b, "fd_digits")
    sentence = difference_sentence(a, b, found)
    assert difference_words(found) in sentence
    assert sentence.endswith("they are not separable.")
