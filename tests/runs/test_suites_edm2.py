"""The suites of published networks against tables that were typed apart from them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guidebench.guidance.schedules import Constant, Interval
from guidebench.runs.catalog import load_suite, select
from guidebench.runs.inputs import inputs_of
from guidebench.runs.spec import CheckpointRef, Row
from guidebench.runs.suites.table1_img64 import UNRUNNABLE
from guidebench.sampling import make_plan

GOLDEN = Path(__file__).parents[1] / "golden"
OFFICIAL = ("table1-img512", "table1-img64", "edm2-table2", "edm2-img64", "degradation", "fig3")
PRESETS: dict[str, dict[str, Any]] = json.loads(
    (GOLDEN / "edm2_presets.json").read_text(encoding="utf-8")
)["presets"]


def typed(name: str) -> list[dict[str, str]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def network(row: Row, role: str) -> tuple[str, str]:
    """Training run with images seen, and EMA length, of one of a row's networks."""
    ref = row.spec.networks.get(role)
    if ref is None:
        return "", ""
    assert isinstance(ref, CheckpointRef)
    run, _, ema = ref.checkpoint.rpartition("-")
    return run, ema


def guide(row: Row) -> tuple[str, str]:
    return network(row, next((r for r in row.spec.networks if r != "main"), ""))


def schedule(row: Row) -> Constant | Interval | None:
    assert row.spec.scheme is not None
    return row.spec.scheme.terms[0].schedule if row.spec.scheme.terms else None


def cells(row: Row) -> dict[str, str]:
    """A row of a suite, written as the table is typed."""
    ((metric, published),) = row.spec.published.items()
    found = schedule(row)
    interval = f"{found.sigma_lo:.2f} {found.sigma_hi:.2f}" if isinstance(found, Interval) else ""
    (main, ema_m), (other, ema_g) = network(row, "main"), guide(row)
    return {
        "suite": row.suite,
        "row": row.name.removesuffix("-" + metric.replace("_", "-")),
        "main": main,
        "guide": other,
        "metric": metric,
        "value": f"{published.value:.2f}",
        "w": f"{found.weight:.2f}" if found else "",
        "ema_m": ema_m,
        "ema_g": ema_g,
        "interval": interval,
    }


def test_table_1_is_rebuilt_cell_by_cell() -> None:
    expected = typed("table1.csv")
    assert len(expected) == 2 * (13 + 3)
    assert [cells(row) for row in select(["table1-img512", "table1-img64"])] == expected


def test_the_row_that_cannot_be_run_says_why() -> None:
    (rin,) = UNRUNNABLE
    assert (rin.title, rin.value, rin.ema) == ("RIN", 1.23, 0.033)
    assert "another architecture" in rin.reason


def table_2() -> Iterator[dict[str, str]]:
    for line in typed("edm2_table2.csv"):
        main = f"edm2-img512-{line['size']}-{line['kimg']}"
        for column, key in (("fid", "fid"), ("fd", "fd_dinov2")):
            shared = {"suite": "edm2-table2", "main": main, "metric": key, "interval": ""}
            yield shared | {
                "row": f"edm2-{line['size']}-none", "guide": "", "value": line[column],
                "w": "", "ema_m": line[f"{column}_ema"], "ema_g": "",
            }  # fmt: skip
            ema = line[f"{column}_cfg_ema"]
            yield shared | {
                "row": f"edm2-{line['size']}-cfg", "guide": "edm2-img512-xs-uncond-2147483",
                "value": line[f"{column}_cfg"], "w": f"{float(line[f'{column}_w']):.2f}",
                "ema_m": ema, "ema_g": ema,
            }  # fmt: skip


def test_table_2_is_rebuilt_cell_by_cell() -> None:
    def order(cell: dict[str, str]) -> tuple[str, str]:
        return cell["row"], cell["metric"]

    found = sorted((cells(row) for row in load_suite("edm2-table2")), key=order)
    assert found == sorted(table_2(), key=order)


def of_preset(preset: dict[str, Any]) -> tuple[object, ...]:
    net, gnet = (str(preset[k] or "").removesuffix(".pkl") for k in ("net", "gnet"))
    return net, gnet, preset["guidance"], preset["metric"], preset["published_value"]


def as_preset(row: Row) -> tuple[object, ...]:
    ((metric, published),) = row.spec.published.items()
    net, gnet = ("-".join(network) if network[0] else "" for network in
                 (network(row, "main"), guide(row)))  # fmt: skip
    found = schedule(row)
    return net, gnet, found.weight if found else None, metric, published.value


@pytest.mark.parametrize("name", PRESETS)
def test_every_published_preset_is_a_row(name: str) -> None:
    rows = select(["table1-img512", "table1-img64", "edm2-table2", "edm2-img64"])
    assert of_preset(PRESETS[name]) in [as_preset(row) for row in rows]


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        ("edm2-s-cfg-interval-fid", range(15, 22)),
        ("edm2-s-cfg-interval-fd-dinov2", range(13, 20)),
        ("edm2-xxl-cfg-interval-fid", range(17, 23)),
        ("edm2-xxl-cfg-interval-fd-dinov2", range(13, 20)),
    ],
)
def test_intervals_guide_the_published_steps(row: str, steps: range) -> None:
    """Both evaluations of each step or neither."""
    (found,) = select([f"table1-img512::{row}"])
    assert found.spec.sampler is not None
    assert found.spec.scheme is not None
    plan = make_plan(found.spec.sampler, found.spec.scheme)
    guided = [e.gains != (0.0,) for e in plan.evaluations]
    by_step = [guided[2 * step : 2 * step + 2] for step in range(32)]
    assert [step for step, pair in enumerate(by_step) if all(pair)] == list(steps)
    assert sum(guided) == 2 * len(steps)


def test_the_degradation_study_is_the_papers() -> None:
    rows = {row.name: row.spec for row in load_suite("degradation")}
    values = {n: s.published["fid"].value for n, s in rows.items() if s.published}
    assert values == {
        "none": 2.56,
        "dropout-main": 4.98, "dropout-guide": 15.00, "dropout-guided": 2.55,
        "input-noise-main": 3.96, "input-noise-guide": 9.73, "input-noise-guided": 2.56,
    }  # fmt: skip
    for name, amounts in (("dropout", (0.05, 0.10)), ("input-noise", (0.10, 0.20))):
        guided = rows[f"{name}-guided"].networks
        for role, amount in zip(("main", "guide"), amounts, strict=True):
            ref = guided[role]
            assert isinstance(ref, CheckpointRef)
            assert ref.degradation is not None
            assert (ref.degradation.kind, ref.degradation.amount) == (name, amount)
            assert rows[f"{name}-{role}"].networks["main"] == ref
    weights = {
        n: s.scheme.terms[0].schedule for n, s in rows.items() if n.endswith("guided") and s.scheme
    }
    assert {n: w.weight for n, w in weights.items() if isinstance(w, Constant)} == {
        "dropout-guided": 2.25, "input-noise-guided": 2.0,
    }  # fmt: skip


def test_figure_3_sweeps_the_papers_guides() -> None:
    rows = load_suite("fig3")
    printed = {r.name: r.spec.published["fid"].value for r in rows if r.spec.published}
    assert printed == {
        "guide-xs-t16": 1.34, "guide-xs-t32": 1.40, "guide-xs-t8": 1.47,
        "guide-xxs-t16": 1.41, "guide-s-t16": 1.51,
    }  # fmt: skip
    curves: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        for place in row.spec.curves:
            curves.setdefault((place.series, place.axis), set()).add(place.at)
            measured = {"weight": schedule(row), "ema_main": network(row, "main")[1],
                        "ema_guide": guide(row)[1]}[place.axis]  # fmt: skip
            at = measured.weight if isinstance(measured, Constant) else float(str(measured))
            assert at == place.at
    assert {key: len(points) for key, points in curves.items()} == {
        **{(f"guide {g}", "weight"): 9 for g in
           ("XS, T/16", "XS, T/32", "XS, T/8", "XXS, T/16", "S, T/16")},
        ("guide XS, T/16", "ema_main"): 10,
        ("guide XS, T/16", "ema_guide"): 10,
    }  # fmt: skip
    shared = {(c.spec.networks["main"]) for c in rows if c.name.startswith("weights-")}
    assert shared == {CheckpointRef(checkpoint="edm2-img512-s-2147483-0.070")}


@pytest.mark.parametrize("suite", OFFICIAL)
def test_rows_are_sampled_as_published_and_name_their_files(suite: str) -> None:
    for row in load_suite(suite):
        spec = row.spec
        assert spec.sampler is not None
        assert (spec.num_images, spec.first_seed, spec.sampler.num_steps) == (50_000, 0, 32)
        assert len(make_plan(spec.sampler, spec.scheme).evaluations) == 63  # type: ignore[arg-type]
        checkpoints = {r.checkpoint for r in spec.networks.values() if isinstance(r, CheckpointRef)}
        kinds = [need.kind for need in inputs_of(spec)]
        assert kinds.count("network") == len(checkpoints)
        assert kinds.count("reference") == 1
        assert kinds.count("features") == len(spec.metrics)
        assert kinds.count("vae") == ("img512" in suite or "img64" not in suite)
        for name in spec.published:
            assert spec.published[name].source.startswith("arXiv:")
