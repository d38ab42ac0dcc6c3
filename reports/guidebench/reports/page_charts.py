"""What the page's charts draw, as plain JSON: every number is made into words here."""

from itertools import product

from guidebench.reports.groups import Group
from guidebench.reports.numbers import decimals, fixed, measured, prefixed, significant
from guidebench.reports.page_rows import row_id
from guidebench.reports.pareto import (
    COST_LABELS,
    CostName,
    Priced,
    cost_of,
    known_costs,
    pareto_front,
)
from guidebench.reports.plot_curves import AXES, Point, curve_points
from guidebench.reports.record import CurveAxis, Display, MetricResult
from guidebench.reports.store import StoredRecord
from guidebench.reports.tables import ARROWS

Json = dict[str, object]


def chart_data(group: Group) -> Json:
    """`curves`, one for each metric and axis, and `cost`, None where prices do not differ."""
    drawn: list[tuple[str, CurveAxis, dict[str, list[Point]]]] = [
        (name, axis, series_of)
        for name in group.displays
        for axis in AXES
        if (series_of := curve_points(group, name, axis))
    ]
    names = sorted({series for *_, series_of in drawn for series in series_of})
    return {
        "series": names,
        "curves": [
            _curve(group.displays[name], axis, series_of, names) for name, axis, series_of in drawn
        ],
        "cost": _cost(group),
    }


def _curve(
    display: Display, axis: CurveAxis, series_of: dict[str, list[Point]], names: list[str]
) -> Json:
    results = [p.result for points in series_of.values() for p in points]
    floor = next((r.noise_floor for r in results if r.noise_floor is not None), None)
    return {
        "title": _heading(display),
        "axis": AXES[axis],
        "floor": None if floor is None else _scaled(floor, display),
        "series": [
            {
                "name": name,
                "color": names.index(name),
                "points": [
                    {
                        "x": point.at,
                        "row": row_id(point.record.row),
                        "ring": point.in_table,
                        "words": f"{point.record.title}\n{AXES[axis]}: {point.at:g}",
                        **_value(point.result),
                    }
                    for point in points
                ],
            }
            for name, points in sorted(series_of.items())
        ],
    }


def _cost(group: Group) -> Json | None:
    metrics = [name for name, d in group.displays.items() if d.better != "neither"]
    costs = known_costs(group)
    # A row of neither table nor curve, which a suite may have for the gate, would set the scale.
    points = [row for row in group.rows if row.record.role == "curve" and row.record.curves]
    rows = [*group.schemes, *points]
    if not metrics or not costs:
        return None
    numbers = {row.record.row: i for i, row in enumerate(group.schemes, start=1)}
    return {
        "metrics": [{"name": n, "title": _heading(group.displays[n])} for n in metrics],
        "costs": [{"name": name, "title": COST_LABELS[name]} for name in costs],
        "rows": [_priced(row, metrics, costs, numbers.get(row.record.row)) for row in rows],
        "fronts": {
            f"{metric} {cost}": _front(group, metric, cost)
            for metric, cost in product(metrics, costs)
        },
    }


def _priced(
    stored: StoredRecord, metrics: list[str], costs: list[CostName], number: int | None
) -> Json:
    record = stored.record
    prices: dict[CostName, float | None] = {name: cost_of(record, name) for name in costs}
    return {
        "row": row_id(record.row),
        "title": record.title,
        "number": number,
        "metrics": {m: _value(record.metrics[m]) for m in metrics if m in record.metrics},
        "costs": {
            name: {"x": price, "text": cost_words(name, price)}
            for name, price in prices.items()
            if price is not None
        },
    }


def cost_words(name: CostName, price: float) -> str:
    """A cost with its unit, as a reader wants it.

    >>> cost_words("operations", 5257728.0), cost_words("seconds", 0.00012)
    ('5.26 M operations per sample', '0.000120 s per sample')
    """
    if name == "seconds":
        return f"{significant(price)} s per sample"
    if name == "calls":
        return f"{price:.0f} network calls per sample"
    unit = "B at the peak" if name == "memory" else "operations per sample"
    text = prefixed(price)
    return f"{text}{'' if text[-1].isalpha() and name == 'memory' else ' '}{unit}"


def _front(group: Group, metric: str, cost: CostName) -> list[str]:
    sign = -1.0 if group.displays[metric].better == "higher" else 1.0
    return pareto_front(
        [
            Priced(row_id(row.record.row), price, sign * row.record.metrics[metric].value)
            for row in group.schemes
            if metric in row.record.metrics and (price := cost_of(row.record, cost)) is not None
        ]
    )


def _value(result: MetricResult) -> Json:
    display = result.display
    low, high = (_scaled(bound, display) for bound in result.interval_95)
    places = decimals(result.standard_error * (100 if display.percent else 1))
    shown = measured(result.value, result.standard_error, percent=display.percent, unit=True)
    between = "" if places is None else f" [{fixed(low, places)}, {fixed(high, places)}]"
    return {
        "y": _scaled(result.value, display),
        "low": low,
        "high": high,
        "text": f"{display.label}: {shown}{between}",
    }


def _scaled(value: float, display: Display) -> float:
    return 100 * value if display.percent else value


def _heading(display: Display) -> str:
    unit = ", %" if display.percent else ""
    arrow = ARROWS[display.better]
    return f"{display.label}{unit}{f'  {arrow}' if arrow else ''}"
