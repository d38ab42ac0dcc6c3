from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from guidebench.reports.groups import Group, group_records
from guidebench.reports.plot_images import mosaic, pick
from guidebench.reports.plots import plots as figures
from guidebench.reports.plots import save_plots
from guidebench.reports.store import StoredRecord

SVG_LIMIT = 1_500_000


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


def test_pick_takes_the_first_of_each_label() -> None:
    labels, places = pick(np.array([3, 1, 3, 1, 1]))
    assert labels == [1, 3]
    assert places == [[1, 3, 4], [0, 2]]


def test_mosaic_puts_labels_in_columns() -> None:
    images = np.stack([np.full((8, 8), v, dtype=np.uint8) for v in (10, 20, 30)])
    block = mosaic(images, [[0, 2], [1]])
    assert block.shape == (1 + 6 * 9, 1 + 2 * 9)
    assert block[1:9, 1:9].tolist() == images[0].tolist()
    assert block[10:18, 1:9].tolist() == images[2].tolist()
    assert block[1:9, 10:18].tolist() == images[1].tolist()
    assert not block[10:18, 10:18].any()
