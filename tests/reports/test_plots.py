from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.image import imread

from guidebench.reports.groups import Group, group_records
from guidebench.reports.plot_images import columns_are_labels, image_figure, layout, mosaic
from guidebench.reports.plots import plots as figures
from guidebench.reports.plots import save_plots
from guidebench.reports.store import ImagesPreview, StoredRecord

from .synthetic import Row, write_simple

SVG_LIMIT = 1_500_000
Labels = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def fractal_group(fractal: list[StoredRecord]) -> Group:
    return group_records(fractal)[0]


def test_fractal_figures_are_saved_and_small(fractal_group: Group, tmp_path: Path) -> None:
    saved = save_plots(fractal_group, tmp_path, "fractal")
    assert [s.png.name for s in saved] == [
        "fractal-points.png", "fractal-curves.png", "fractal-cost.png"]  # fmt: skip
    for plot in saved:
        assert imread(plot.png).shape[1] > 1000
        assert plot.svg.stat().st_size < SVG_LIMIT
        assert "<dc:date>" not in plot.svg.read_text(encoding="utf-8")
        assert plot.alt
        assert plot.caption


def test_panels_name_row_and_rate(fractal_group: Group) -> None:
    points = next(p for p in figures(fractal_group) if p.name == "points")
    words = [t.get_text() for axes in points.figure.axes for t in axes.texts]
    titles = [axes.get_title(loc="left").strip() for axes in points.figure.axes]
    assert [t for t in titles if t] == [r.record.title for r in fractal_group.table_rows]
    assert "3.30 ± 0.28 % outside" in words
    assert sum("beyond this view" in w for w in words) >= 1


def test_curves_ring_the_rows_of_the_table(fractal_group: Group) -> None:
    curves = next(p for p in figures(fractal_group) if p.name == "curves")
    first = curves.figure.axes[0]
    rings = [line for line in first.lines if line.get_markersize() == 9]
    weights = sorted(float(x) for line in rings for x in np.asarray(line.get_xdata()))
    assert weights == [1, 1, 3, 4]
    assert first.get_title(loc="left") == "Outlier rate, %  ↓"


def test_nothing_to_draw_draws_nothing(fractal: list[StoredRecord]) -> None:
    row = next(r for r in fractal if r.record.row == "naive")
    bare = row.record.model_copy(update={"preview": None})
    (group,) = group_records([StoredRecord(path=row.path, record=bare)])
    assert list(figures(group)) == []


def test_layout_takes_the_first_of_each_label() -> None:
    found = layout(np.array([3, 1, 3, 1, 1]))
    assert found.labels == (1, 3)
    assert found.places_LS == [[1, 3, 4], [0, 2]]


@pytest.mark.parametrize("labels", [np.full(20, -1), np.arange(20)])
def test_layout_is_in_seed_order_where_labels_are_absent_or_rare(labels: Labels) -> None:
    found = layout(labels)
    assert found.labels is None
    assert [places[0] for places in found.places_LS] == list(range(8))
    assert found.places_LS[3] == [3, 11, 19]


def test_mosaic_puts_labels_in_columns() -> None:
    images = np.stack([np.full((8, 8), v, dtype=np.uint8) for v in (10, 20, 30)])
    block = mosaic(images, [[0, 2], [1]])
    assert block.shape == (1 + 6 * 9, 1 + 2 * 9)
    assert block[1:9, 1:9].tolist() == images[0].tolist()
    assert block[10:18, 1:9].tolist() == images[2].tolist()
    assert block[1:9, 10:18].tolist() == images[1].tolist()
    assert not block[10:18, 10:18].any()


def test_mosaic_of_colours() -> None:
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    images[1, ..., 0] = 200
    block = mosaic(images, [[0], [1]])
    assert block.shape == (1 + 6 * 5, 1 + 2 * 5, 3)
    assert block[1:5, 6:10].tolist() == images[1].tolist()
    assert (block[6:10, 1:5] == 255).all()
    assert (block[0] == 215).all()


def colour_rows(out: Path, labels: dict[str, Labels]) -> Group:
    """One group of 8x8 colour images, a row for each entry."""
    rng = np.random.default_rng(0)
    samples_N = rng.standard_normal(40)
    made = []
    for order, (row, labels_K) in enumerate(labels.items()):
        images = rng.integers(0, 256, (len(labels_K), 8, 8, 3), dtype=np.uint8)
        described = Row(row=row, title=row, order=order, calls={"main": 63})
        arrays: dict[str, np.ndarray] = {"images": images, "labels": labels_K}
        made.append(write_simple(out, described, samples_N, preview=("images", arrays)))
    return group_records(made)[0]


def test_images_without_labels_keep_their_places(tmp_path: Path) -> None:
    labels_K = np.arange(40) % 10
    group = colour_rows(tmp_path, {"uncond": np.full(40, -1), "cond": labels_K})
    assert columns_are_labels(group)
    figure = image_figure(group)
    assert figure is not None
    without, named = figure.axes[:2]
    assert [t.get_text() for t in named.get_xticklabels()] == [str(i) for i in range(10)]
    assert len(without.get_xticks()) == 0
    shown = np.asarray(without.images[0].get_array())
    preview = group.rows[0].preview()
    assert isinstance(preview, ImagesPreview)
    expected = mosaic(preview.images, layout(labels_K).places_LS)
    assert np.array_equal(shown, expected)


def test_no_labels_at_all_claim_no_columns(tmp_path: Path) -> None:
    group = colour_rows(tmp_path, {"a": np.full(40, -1), "b": np.full(40, -1)})
    assert not columns_are_labels(group)
    (plot,) = [p for p in figures(group) if p.name == "samples"]
    assert "column" not in plot.caption
    assert len(plot.figure.axes[0].get_xticks()) == 0
