"""Which machine made a record, and what to say where rows of several stand together."""

from collections import defaultdict
from collections.abc import Iterable

from guidebench.reports.record import Record


def machine(record: Record) -> str:
    """The GPU, or the processor and its cores: what decides how fast a row is.

    Two machines of one kind have one name, since their speeds may be compared.
    """
    environment = record.environment
    if environment.get("gpu"):
        return str(environment["gpu"])
    cpu, cores = environment.get("cpu"), environment.get("cores")
    if cpu is None:
        return "unknown machine"
    return f"{cpu}, {cores} cores" if cores else str(cpu)


def machines(records: Iterable[Record]) -> dict[str, list[str]]:
    """Titles of the rows that each machine sampled; real data is sampled by none."""
    found: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.role != "truth":
            found[machine(record)].append(record.title)
    return dict(found)


def mixed_machines(records: Iterable[Record]) -> Iterable[str]:
    """Sentences where rows of one table were sampled on several machines: one, and one each."""
    found = machines(records)
    if len(found) > 1:
        yield (
            f"Rows were sampled on {len(found)} machines: "
            "their speeds and memory cannot be compared."
        )
        for name, titles in found.items():
            yield f"Sampled on {name}: {'; '.join(titles)}."
