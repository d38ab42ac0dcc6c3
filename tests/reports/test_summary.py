import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from guidebench.reports.compare import difference, rank
from guidebench.reports.groups import group_records
from guidebench.reports.numbers import MINUS, measured
from guidebench.reports.store import StoredRecord
from guidebench.reports.summary import (
    TIMES,
    difference_sentence,
    difference_words,
    headline,
    summary,
)

from .synthetic import attachment
from .test_compare import run


def test_headline_says_who_wins_by_how_much_at_which_price(fractal: list[StoredRecord]) -> None:
    (group,) = group_records(fractal)
    line, meaning = headline(group)
    rows = {r.record.row: r for r in fractal}
    second = difference(rows["autoguidance"], rows["cfg-interval"], "outlier_rate")
    shown = measured(-second.value, second.standard_error, percent=True)
    assert line.startswith("Autoguidance, w = 3 beats CFG, w = 4, σ in (0.1, 1] by ")  # noqa: RUF001
    assert f"by {shown} percentage points of outlier rate at 1.50{TIMES} the cost" in line
    assert line.endswith(f"points of outlier rate at 2.00{TIMES} the cost.")  # against unguided
    assert meaning.endswith("cost counts operations per sample.")


def test_headline_of_an_open_race_claims_no_winner(digits: list[StoredRecord]) -> None:
    (group,) = group_records(digits)
    line, _ = headline(group)
    assert line.startswith("No scheme is separably the best: ")
    assert "which is within the noise, and beats No guidance by" in line
    shown = line.split(", and beats ")[1]
    leader, plain = rank(group, "fd_digits")[0], next(r for r in digits if r.record.row == "none")
    gap = difference(plain, leader, "fd_digits")
    assert measured(gap.value, gap.standard_error) in shown


def test_headline_names_who_is_best_by_other_metrics(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Truncation wins on outliers and loses diversity: the sentence must not hide that."""
    out = tmp_path_factory.mktemp("runs")
    means = {"none": (3.0, 0.0, 5.0), "cut": (0.0, 2.0, 7.0), "auto": (1.0, 1.0, 5.0)}
    records = [with_metrics(out, name, values) for name, values in means.items()]
    (group,) = group_records(records)
    line, _ = headline(group)
    assert line.startswith("cut beats auto by ")
    assert line.endswith(" By width, none is the best.")  # `third` is open


def with_metrics(out: Path, name: str, means: tuple[float, ...]) -> StoredRecord:
    """A run with metrics score, width and third, of these means."""
    noise_N3 = 0.05 * np.random.default_rng(len(name)).standard_normal((100, 3))
    noise_N3 -= noise_N3.mean(0)  # equal means are equal to the last bit, however luck falls
    made = [run(out / str(i), name, noise_N3[:, i] + mean) for i, mean in enumerate(means)]
    labels = ("score", "Width", "Third")
    metrics = {}
    for label, stored in zip(labels, made, strict=True):
        result = stored.record.metrics["score"]
        shown = result.display.model_copy(update={"label": label})
        metrics[label.lower()] = result.model_copy(update={"display": shown})
    arrays = {n: s.influence("score") for n, s in zip(metrics, made, strict=True)}
    path = made[0].path.with_name("per_seed.safetensors")
    save_file(arrays, path)
    update = {"metrics": metrics, "per_seed": attachment(path)}
    return StoredRecord(made[0].path, made[0].record.model_copy(update=update))


def test_headline_needs_two_schemes(fractal: list[StoredRecord]) -> None:
    (group,) = group_records([r for r in fractal if r.record.row == "none"])
    assert headline(group) == []


def test_leader_is_named_with_difference(fractal: list[StoredRecord]) -> None:
    (group,) = group_records(fractal)
    first, *_ = summary(group)
    none, best = (next(r for r in fractal if r.record.row == n) for n in ("none", "autoguidance"))
    found = difference(best, none, "outlier_rate")
    assert first.startswith("Autoguidance, w = 3 has the lowest outlier rate: 3.30 % ± 0.28 %")
    assert f"difference {MINUS}{abs(100 * found.value):.2f} percentage points [" in first
    assert first.endswith("], paired.")


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
