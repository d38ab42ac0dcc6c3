"""Suites and rows by name."""

from pathlib import Path

import pytest

from guidebench.base import UserError
from guidebench.runs.catalog import SUITES, load_suite, select
from guidebench.runs.spec import NetworkRef
from guidebench.sampling import make_plan


@pytest.mark.parametrize("suite", SUITES)
def test_every_row_is_whole_and_named_once(suite: str) -> None:
    rows = load_suite(suite)
    assert len({row.name for row in rows}) == len(rows)
    assert [row.order for row in rows] == list(range(len(rows)))
    truths = [row.spec.role for row in rows].count("truth")
    assert truths == (0 if rows[0].spec.domain == "images" else 1)
    assert len({row.spec.title for row in rows}) == len(rows)
    assert {(r.spec.num_images, r.spec.first_seed, r.spec.repeats) for r in rows} == {
        (rows[0].spec.num_images, 0, 1)
    }


@pytest.mark.parametrize("suite", SUITES)
def test_curve_points_say_the_weight_that_is_run(suite: str) -> None:
    for row in load_suite(suite):
        for curve in row.spec.curves:
            assert row.spec.scheme is not None
            weights = {
                1 + g
                for e in make_plan(row.spec.sampler, row.spec.scheme).evaluations  # type: ignore[arg-type]
                for g in e.gains
            }
            if curve.axis == "weight":
                outside = {1.0} if "interval" in row.name else set()
                expected = {curve.at} | outside if row.spec.scheme.terms else set()
                assert weights == expected
                assert curve.at == 1 or row.spec.scheme.terms


def test_the_fractal_has_the_papers_weights() -> None:
    (row,) = select(["fractal::autoguidance-w3"])
    assert row.spec.scheme is not None
    assert row.spec.scheme.gains(1.0, 1.0) == (2.0,)
    assert row.spec.networks["main"] == NetworkRef(name="fractal-main", iteration=4096, ema=0.01)
    assert row.spec.networks["guide"] == NetworkRef(name="fractal-guide", iteration=512, ema=0.01)


def test_a_row_of_ones_own_suite_knows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from guidebench.runs.suites.fractal import autoguidance_w3\n"
                    "def gentle():\n    return autoguidance_w3()\n")  # fmt: skip
    (row,) = select([f"{file}::gentle"])
    assert (row.suite, row.suite_file, row.label) == ("mine", str(file), "mine::gentle")
    assert select(["fractal::none"])[0].suite_file is None


def test_rows_come_once_and_in_the_suites_order() -> None:
    found = select(["fractal::autoguidance-w3::none", "fractal::none", "digits::real"])
    assert [row.label for row in found] == [
        "fractal::none",
        "fractal::autoguidance-w3",
        "digits::real",
    ]


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown suite digit; did you mean digits"):
        select(["digit"])
    with pytest.raises(UserError, match="no row nonne; did you mean none"):
        select(["fractal::nonne"])
    with pytest.raises(UserError, match="unknown suite xyz; there are: fractal, digits"):
        select(["xyz"])
