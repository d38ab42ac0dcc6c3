"""What the page is made of: prices, fronts, charts, pictures, machines."""

import base64
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from guidebench.reports.groups import Group, group_records
from guidebench.reports.machines import machine, mixed_machines
from guidebench.reports.page import write_report
from guidebench.reports.page_charts import chart_data
from guidebench.reports.page_frames import frames
from guidebench.reports.page_rows import repeat_command
from guidebench.reports.page_speed import speed_table
from guidebench.reports.page_table import page_lines
from guidebench.reports.pareto import SAME_PRICE, Priced, cost_ratio, known_costs, pareto_front
from guidebench.reports.plot_images import blocks, mosaic
from guidebench.reports.record import BiasCorrected, Memory, RankCost
from guidebench.reports.store import StoredRecord
from guidebench.reports.tables import build_table

from .synthetic import Row, write_simple

prices = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 3.0, 5.0]), st.floats(-9, 9)), min_size=1, max_size=12
)


@pytest.fixture(scope="module")
def group(fractal: list[StoredRecord]) -> Group:
    return group_records(fractal)[0]


@given(prices)
def test_front_is_what_nothing_beats(pairs: list[tuple[float, float]]) -> None:
    rows = [Priced(str(i), cost, loss) for i, (cost, loss) in enumerate(pairs)]
    front = [rows[int(name)] for name in pareto_front(rows)]
    for row in rows:
        beaten = any(f.cost <= row.cost and f.loss <= row.loss for f in front)
        assert beaten
    assert all(a.cost < b.cost and a.loss > b.loss for a, b in pairwise(front))


def test_prices_within_a_percent_are_equal() -> None:
    near, far = 1 + SAME_PRICE / 2, 1 + 2 * SAME_PRICE
    assert pareto_front([Priced("bad", 1, 9), Priced("good", near, 1)]) == ["good"]
    assert pareto_front([Priced("bad", 1, 9), Priced("good", far, 1)]) == ["bad", "good"]


def test_cost_ratio_counts_operations(group: Group) -> None:
    rows = {r.record.row: r.record for r in group.rows}
    assert cost_ratio(rows["autoguidance"], rows["none"]) == (2.0, "operations")
    assert cost_ratio(rows["autoguidance"], rows["truth"]) is None


def moved(stored: StoredRecord, gpu: str, path: str = "") -> StoredRecord:
    """The same record as another machine would have made it."""
    environment = stored.record.environment | {"gpu": gpu}
    record = stored.record.model_copy(update={"environment": environment})
    return StoredRecord(path=Path(f"{stored.path}{path}"), record=record)


def test_rows_of_two_machines_share_a_table_and_say_so(fractal: list[StoredRecord]) -> None:
    rows = [moved(r, "H100") if r.record.row == "cfg" else r for r in fractal]
    (group,) = group_records(rows)
    notes = build_table(group).footnotes
    assert any(n.startswith("Rows were sampled on 2 machines: their speeds") for n in notes)
    assert "Sampled on H100: CFG, w = 4." in notes
    assert known_costs(group) == ["operations", "calls"]
    speed = speed_table(group)
    assert speed.columns[-1] == "Machine"
    shown = {row: cells[-1].text for row, _, cells in speed.lines}
    assert shown["cfg"].startswith("H100; 1 rank")
    assert shown["none"].startswith("AMD EPYC 7B13; 1 rank")
    ratio = {row: cells[speed.columns.index("Time against unguided")].text
             for row, _, cells in speed.lines}  # fmt: skip
    assert ratio["cfg"] == "—"
    assert ratio["autoguidance"] == "2.00×"  # noqa: RUF001


def test_one_row_of_two_machines_makes_two_tables(fractal: list[StoredRecord]) -> None:
    both = [*fractal, *(moved(r, "H100") for r in fractal if r.record.role != "truth")]
    groups = group_records(both)
    assert [g.setting.machine for g in groups] == ["AMD EPYC 7B13", "H100"]
    assert [g.older for g in groups] == [0, 0]
    assert [len(g.rows) for g in groups] == [len(fractal)] * 2
    assert not list(mixed_machines(row.record for row in groups[0].rows))
    assert "(H100)" in build_table(groups[1]).setting


def test_machine_of_a_record_that_does_not_say(group: Group) -> None:
    bare = group.rows[0].record.model_copy(update={"environment": {}})
    assert machine(bare) == "unknown machine"
    full = bare.model_copy(update={"environment": {"cpu": "EPYC", "cores": 2}})
    assert machine(full) == "EPYC, 2 cores"


def test_page_names_every_machine(fractal: list[StoredRecord], tmp_path: Path) -> None:
    rows = [r for r in fractal if r.record.row in {"none", "cfg"}]
    page = write_report([rows[0], moved(rows[1], "H100")], tmp_path, "x").read_text("utf-8")
    assert "sampled on 2 machines: " in page
    assert page.index("Doubts</h3>") < page.index("Rows were sampled on 2 machines")


def test_curves_have_bands_in_the_units_of_the_table(group: Group) -> None:
    data: Any = chart_data(group)
    assert data["series"] == ["Autoguidance", "CFG"]
    curve = data["curves"][0]
    assert curve["title"] == "Outlier rate, %  ↓"
    assert curve["floor"] == pytest.approx(1.0)
    (cfg,) = [s for s in curve["series"] if s["name"] == "CFG"]
    assert [p["x"] for p in cfg["points"]] == [1, 1.5, 2, 4, 5]
    point = cfg["points"][3]
    result = next(r for r in group.rows if r.record.row == "cfg").record.metrics["outlier_rate"]
    assert point["y"] == pytest.approx(100 * result.value)
    assert (point["low"], point["high"]) == pytest.approx(
        tuple(100 * v for v in result.interval_95)
    )
    assert point["ring"]
    assert point["row"] == "cfg"


def test_cost_has_a_front_for_each_metric_and_price(group: Group) -> None:
    cost: Any = chart_data(group)["cost"]
    assert [m["name"] for m in cost["metrics"]] == [
        "outlier_rate", "occupancy_divergence", "sliced_wasserstein"]  # fmt: skip
    assert [c["name"] for c in cost["costs"]] == ["operations", "calls", "seconds"]
    assert set(cost["fronts"]) == {
        f"{m['name']} {c['name']}" for m in cost["metrics"] for c in cost["costs"]}  # fmt: skip
    assert cost["fronts"]["outlier_rate calls"][-1] == "autoguidance"
    numbered = [r for r in cost["rows"] if r["number"] is not None]
    assert [r["number"] for r in numbered] == list(range(1, len(group.schemes) + 1))


def test_a_row_for_the_gate_alone_does_not_set_the_scale_of_the_cost_chart(
    fractal: list[StoredRecord],
) -> None:
    """Such a row stands in no table and on no curve."""
    stray = next(r for r in fractal if r.record.role == "curve")
    bare = stray.record.model_copy(update={"curves": ()})
    rows = [StoredRecord(r.path, bare) if r is stray else r for r in fractal]
    for records, there in ((fractal, True), (rows, False)):
        (group,) = group_records(records)
        cost: Any = chart_data(group)["cost"]
        assert (stray.record.row in [r["row"] for r in cost["rows"]]) == there


def test_schemes_of_one_price_have_no_cost_chart(fractal: list[StoredRecord]) -> None:
    (group,) = group_records([r for r in fractal if r.record.row in {"none", "naive"}])
    assert chart_data(group)["cost"] is None


def picture(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))


def test_frames_hold_the_images_pixel_by_pixel(digits: list[StoredRecord]) -> None:
    (group,) = group_records(digits)
    made = frames(group)
    assert [f.row for f in made] == [r.record.row for r in group.table_rows]
    for frame, block in zip(made, blocks(group), strict=True):
        expected = 255 - mosaic(block.images, block.layout.places_LS)
        assert np.array_equal(np.asarray(picture(frame.source)), expected)
        assert (frame.across, frame.down) == (10, 6)
        assert frame.sharp


def test_large_images_are_shrunk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)
    arrays: dict[str, np.ndarray] = {"images": images, "labels": np.full(16, -1)}
    described = Row(row="a", title="a", order=0, calls={"main": 63})
    made = write_simple(tmp_path, described, rng.standard_normal(16), preview=("images", arrays))
    (frame,) = frames(group_records([made])[0])
    assert frame.source.startswith("data:image/jpeg;")
    assert frame.width == pytest.approx(8 * 128, rel=0.02)
    assert picture(frame.source).size == (frame.width, frame.height)


def test_frames_of_points_are_of_one_size(group: Group) -> None:
    made = frames(group)
    assert len({(f.width, f.height) for f in made}) == 1
    assert made[0].across == 0


def test_table_sorts_by_stored_numbers(group: Group) -> None:
    table = build_table(group)
    lines = {line.row: line for line in page_lines(table)}
    labels = [column.label for column in table.columns]
    keys = dict(zip(labels, (key for _, key in lines["cfg"].cells), strict=True))
    record = next(r.record for r in group.rows if r.record.row == "cfg")
    assert keys["Outlier rate"] == record.metrics["outlier_rate"].value
    assert keys["Network calls per sample"] == 126
    assert keys["Samples/s"] == record.cost.images_per_second
    assert keys["Peak memory"] == 402_653_184
    assert lines["truth"].truth


def test_speed_leaves_out_what_nobody_measured(group: Group) -> None:
    table = speed_table(group)
    assert "Energy per sample, J" not in table.columns
    assert "Machine" not in table.columns
    assert table.setting == "Every row: AMD EPYC 7B13; 1 rank, 2 threads each, batch 1024."
    assert replace(table, lines=()).notes


def test_each_rank_shows_its_device(group: Group, tmp_path: Path) -> None:
    plain = next(r for r in group.rows if r.record.row == "none")
    peaks = Memory(allocated=3 * 2**30, reserved=None, device=5 * 2**30, host=None)
    ranks = [
        RankCost(host="node-1", device=f"cuda:{i}", device_name="NVIDIA H100", images=2048,
                 images_per_second=rate, peak_memory_bytes=peaks)
        for i, rate in enumerate((12.5, None))
    ]  # fmt: skip
    cost = plain.record.cost.model_copy(update={"per_rank": tuple(ranks)})
    made = StoredRecord(path=plain.path, record=plain.record.model_copy(update={"cost": cost}))
    first, second = speed_table(group_records([made])[0]).ranks
    assert (first.rank, first.device) == (0, "NVIDIA H100 (cuda:0 of node-1)")
    assert (first.rate, first.memory) == ("12.5", "allocated 3.00 GiB, device 5.00 GiB")
    assert (second.rank, second.rate, second.energy) == (1, "—", "—")
    page = write_report([made], tmp_path, "x").read_text(encoding="utf-8")
    assert "NVIDIA H100 (cuda:1 of node-1)" in page
    assert 'data-sort="2048">2,048<' in page  # sorts as a number, not as text


def test_source_tells_the_value_without_bias(group: Group, tmp_path: Path) -> None:
    plain = next(r for r in group.rows if r.record.row == "none")
    corrected = BiasCorrected(value=0.1, standard_error=0.01, interval_95=(0.08, 0.12), blocks=20)
    metrics = dict(plain.record.metrics)
    update = {"corrected": corrected, "interval_covers": "the value at infinite N"}
    metrics["outlier_rate"] = metrics["outlier_rate"].model_copy(update=update)
    made = StoredRecord(
        path=plain.path, record=plain.record.model_copy(update={"metrics": metrics})
    )
    page = write_report([made], tmp_path, "x").read_text(encoding="utf-8")
    assert "without bias at finite N: 0.1, 95 %: 0.08 to 0.12" in page
    assert "intervals cover the value at infinite N (Outlier rate)." in page


def test_given_images_have_a_page_without_prices(tmp_path: Path) -> None:
    """As `guidebench measure` stores them: no scheme, no cost, and a name of any kind."""
    described = Row(row="my <images>", title="my <images>", order=0, calls={"main": 1})
    made = write_simple(tmp_path, described, np.arange(20.0))
    cost = made.record.cost.model_copy(
        update={
            "images_per_second": None, "images_per_second_per_device": None, "engine": "none",
            "flops_per_image": None, "first_call_seconds": None, "batch_seconds": (),
            "network_calls_per_image": {},
            "peak_memory_bytes": Memory(allocated=None, reserved=None, device=None, host=None),
        }
    )  # fmt: skip
    update = {"cost": cost, "scheme": {"name": "given images"}}
    given = StoredRecord(path=made.path, record=made.record.model_copy(update=update))
    page = write_report([given], tmp_path, "x").read_text(encoding="utf-8")
    assert 'id="simple-row-my-images-"' in page
    assert "Speed and memory" not in page
    assert "Quality against cost" not in page
    assert repeat_command(given.record) == (
        "guidebench measure 'my <images>' --reference reference --metrics score "
        "--out 'results/measured-again/my <images>'"
    )
