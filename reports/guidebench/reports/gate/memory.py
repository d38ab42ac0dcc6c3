"""Peak memory is nearly exact, so it has an exact rule: more than 1 % and more than 16 MiB.

Allocated bytes of a GPU are judged row by row. On a CPU the peak is the resident set of a worker
process, which grows with all that it ran before (digits: 744 MiB for one row alone, 828 MiB within
the suite): it is told and not judged.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from guidebench.reports.gate.baseline import Baseline
from guidebench.reports.gate.pairing import pair_records
from guidebench.reports.numbers import binary_size
from guidebench.reports.record import Record
from guidebench.reports.store import StoredRecord

SHARE: Final = 0.01
BYTES: Final = 16 * 2**20
_HOST: Final = "a CPU worker's resident set depends on what it ran before"
_SETTING: Final[dict[str, Callable[[Record], object]]] = {
    "environment.gpu": lambda r: r.environment.get("gpu"),
    "environment.torch": lambda r: r.environment.get("torch"),
    "environment.python": lambda r: r.environment.get("python"),
    "cost.engine": lambda r: r.cost.engine,
    "cost.precision": lambda r: r.cost.precision,
    "cost.batch_size": lambda r: r.cost.batch_size,
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryFinding:
    """Peak bytes before and now; `skipped` says why they were not held against each other."""

    name: str
    before: int
    after: int
    skipped: str | None = None

    @property
    def failed(self) -> bool:
        """More by a share and by an amount that no allocator's mood explains."""
        grown = self.after - self.before
        return self.skipped is None and grown > max(BYTES, SHARE * self.before)

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        sizes = f"peak memory {binary_size(self.before)} before, {binary_size(self.after)} now"
        if self.skipped:
            return f"{self.name}: {sizes}: not judged, {self.skipped}."
        limit = f"{SHARE:.0%} and {binary_size(BYTES)}"
        verdict = f"grew by more than {limit}" if self.failed else "did not grow"
        return f"{self.name}: {sizes}: {verdict}."


def judge_memory(records: Sequence[StoredRecord], baseline: Baseline) -> list[MemoryFinding]:
    """A finding for each row on a GPU, and one that is not judged for each suite on a CPU."""
    found: list[MemoryFinding] = []
    suites: dict[str, list[tuple[Record, Record]]] = {}
    for pair in pair_records(records, baseline):
        old, new = pair.old[0].record, pair.new[0].record
        before, after = (r.cost.peak_memory_bytes.allocated for r in (old, new))
        if before is not None and after is not None:
            skipped = _other_setting(old, new)
            found.append(MemoryFinding(name=pair.name, before=before, after=after, skipped=skipped))
        else:
            suites.setdefault(pair.suite, []).append((old, new))
    return [*found, *_by_suite(suites)]


def _by_suite(suites: dict[str, list[tuple[Record, Record]]]) -> Iterable[MemoryFinding]:
    for suite, rows in suites.items():
        peaks = [
            [h for row in side if (h := row.cost.peak_memory_bytes.host) is not None]
            for side in zip(*rows, strict=True)
        ]
        if all(peaks):
            before, after = map(max, peaks)
            yield MemoryFinding(name=suite, before=before, after=after, skipped=_HOST)


def _other_setting(old: Record, new: Record) -> str | None:
    for field, read in _SETTING.items():
        if read(old) != read(new):
            return f"{field} is {read(new)} now and was {read(old)}"
    return None
