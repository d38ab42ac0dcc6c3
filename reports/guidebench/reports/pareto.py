"""Which schemes nothing beats at their price."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, final

from guidebench.reports.groups import Group
from guidebench.reports.machines import machines
from guidebench.reports.record import Record

CostName = Literal["operations", "calls", "seconds", "memory"]
SAME_PRICE: Final = 0.01
COST_LABELS: Final[dict[CostName, str]] = {
    "operations": "operations per sample",
    "calls": "network calls per sample",
    "seconds": "device seconds per sample",
    "memory": "peak memory, bytes",
}


@final
class Priced(NamedTuple):
    """A row's name, what it costs, and its metric times -1 where higher is better."""

    row: str
    cost: float
    loss: float


def pareto_front(rows: Sequence[Priced]) -> list[str]:
    """Rows that no other row beats at their price, cheapest first.

    Prices within 1 % of each other count as equal; of rows with equal losses only the cheapest
    stays. By values as measured: two rows whose intervals overlap are ordered as if they were
    known exactly.

    >>> pareto_front([Priced("a", 1, 5), Priced("b", 2, 3), Priced("c", 2, 4), Priced("d", 3, 3)])
    ['a', 'b']
    """
    front: list[Priced] = []
    for row in sorted(rows, key=lambda r: (r.loss, r.cost)):
        if all(row.cost * (1 + SAME_PRICE) < better.cost for better in front):
            front.append(row)
    return [row.row for row in reversed(front)]


def cost_of(record: Record, cost: CostName) -> float | None:
    """What one sample of a row costs; None where that was not measured."""
    spent, memory = record.cost, record.cost.peak_memory_bytes
    rate = spent.images_per_second_per_device
    found: dict[CostName, float | None] = {
        "operations": spent.flops_per_image,
        "calls": sum(spent.network_calls_per_image.values()) or None,
        "seconds": 1 / rate if rate else None,
        "memory": memory.host if memory.allocated is None else memory.allocated,
    }
    return found[cost]


def known_costs(group: Group) -> list[CostName]:
    """The costs that every scheme has and that tell schemes apart.

    Time and memory are left out where rows come from several machines.
    """
    alone = len(machines(row.record for row in group.rows)) < 2
    costs: list[CostName] = []
    for name in COST_LABELS:
        values = [cost_of(row.record, name) for row in group.schemes]
        same_machine = alone or name in {"operations", "calls"}
        if same_machine and None not in values and len(set(values)) > 1:
            costs.append(name)
    return costs


def cost_ratio(record: Record, base: Record) -> tuple[float, CostName] | None:
    """How many times the cost of `base` one sample takes, and of which cost; None if unknown."""
    for name in ("operations", "calls"):
        mine, other = cost_of(record, name), cost_of(base, name)
        if mine and other:
            return mine / other, name
    return None
