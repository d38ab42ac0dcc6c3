"""What quality costs: a metric against network calls, one mark for each scheme."""

from collections import Counter

from matplotlib.figure import Figure

from guidebench.reports.compare import Z_95, rank
from guidebench.reports.groups import Group
from guidebench.reports.plot_style import MARKERS, QUIET, SERIES
from guidebench.reports.tables import ARROWS


def cost_figure(group: Group) -> Figure | None:
    """The first metric with a better side against calls; None where prices do not differ."""
    metric = next((m for m, d in group.displays.items() if d.better != "neither"), None)
    if metric is None:
        return None
    rows = [(r, sum(r.record.cost.network_calls_per_image.values())) for r in rank(group, metric)]
    rows.sort(key=lambda pair: pair[0].record.order)
    if len({calls for _, calls in rows}) < 2:
        return None
    display = group.displays[metric]
    scale = 100.0 if display.percent else 1.0
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    axes = figure.subplots()
    beside = _side_by_side([calls for _, calls in rows])
    for index, ((row, _), x) in enumerate(zip(rows, beside, strict=True)):
        result = row.record.metrics[metric]
        axes.errorbar(
            [x],
            [scale * result.value],
            yerr=[Z_95 * scale * result.standard_error],
            color=SERIES[index % len(SERIES)],
            marker=MARKERS[(index // len(SERIES) + index) % len(MARKERS)],
            markersize=6,
            capsize=3,
            linestyle="",
            label=row.record.title,
        )
    unit = ", %" if display.percent else ""
    axes.set_title(f"{display.label}{unit}  {ARROWS[display.better]}", fontsize=10)
    axes.set_xlabel("network calls per sample")
    axes.set_xticks(sorted({calls for _, calls in rows}))
    axes.grid(visible=True, axis="y")
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    figure.legend(loc="outside right center", fontsize=8.5, labelcolor=QUIET)
    return figure


def _side_by_side(calls: list[int]) -> list[float]:
    """Places on the axis, equal calls a little apart and centred on their number."""
    step = 0.018 * (max(calls) - min(calls))
    seen: Counter[int] = Counter()
    places = []
    for count in calls:
        places.append(count + step * (seen[count] - (calls.count(count) - 1) / 2))
        seen[count] += 1
    return places
