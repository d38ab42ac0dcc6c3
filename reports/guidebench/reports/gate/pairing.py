"""New records beside accepted ones, set by set; what cannot be compared is refused by name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from guidebench.reports.gate.baseline import Accepted, Baseline
from guidebench.reports.groups import newest
from guidebench.reports.record import MetricResult, Record, RecordError
from guidebench.reports.store import StoredRecord

_FEATURES: Final = ("name", "weights_sha256", "resize", "precision", "tf32")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One row: accepted and new sets of the same seeds, in the order of the looks."""

    suite: str
    row: str
    old: tuple[Accepted, ...]
    new: tuple[StoredRecord, ...]
    planned: int

    @property
    def name(self) -> str:
        """`SUITE::ROW`, as the command line names it."""
        return f"{self.suite}::{self.row}"

    @property
    def differs(self) -> tuple[str, ...]:
        """What the change under test changed, in words; see `changed_fields`."""
        return changed_fields(self.old[0].record, self.new[0].record)


def pair_records(records: Iterable[StoredRecord], baseline: Baseline) -> list[Pair]:
    """The newest new record for each accepted set, as far as they go without a gap.

    Raises:
        RecordError: where a row, a first set or a metric is missing, or a field differs that
            makes the numbers mean something else.
    """
    found: dict[tuple[str, str], list[StoredRecord]] = {key: [] for key in baseline.rows}
    for stored in records:
        key = stored.record.suite, stored.record.row
        if key in found:
            found[key].append(stored)
    missing = [baseline.rows[key][0].record for key, have in found.items() if not have]
    if missing:
        msg = (
            f"the baseline has {', '.join(f'{r.suite}::{r.row}' for r in missing)}, the records do "
            f"not; run `guidebench run {' '.join(r.runs_as for r in missing)}` first"
        )
        raise RecordError(msg)
    return [_pair(key, sets, found[key]) for key, sets in baseline.rows.items()]


def refuse_reduced(pairs: Iterable[Pair]) -> None:
    """Refuse records of which a part was sampled in smaller batches, since memory ran out.

    Their bits may differ from those of a run that had room, for no fault of the code's.

    Raises:
        RecordError: for the first such record.
    """
    for stored in (new for pair in pairs for new in pair.new):
        size = stored.record.cost.reduced_batch_size
        if size is not None:
            msg = (
                f"{stored.path}: cost.reduced_batch_size is {size}, the run's batches are of "
                f"{stored.record.cost.batch_size}: memory ran out; run {stored.name} again where "
                "there is more, or gate without --forbid-reduced-batch"
            )
            raise RecordError(msg)


def _pair(key: tuple[str, str], sets: Sequence[Accepted], records: Sequence[StoredRecord]) -> Pair:
    fitting: list[StoredRecord] = []
    for old in sets:
        same = [r for r in records if r.record.seeds == old.record.seeds]
        if not same:
            break
        fitting.append(newest(same))
    if not fitting:
        new = newest(records)
        raise _refusal(new, "seeds", new.record.seeds, sets[0].record.seeds)
    for old, new in zip(sets, fitting, strict=False):
        _refuse(old.record, new)
    suite, row = key
    kept = tuple(sets[: len(fitting)])
    return Pair(suite=suite, row=row, old=kept, new=tuple(fitting), planned=len(sets))


def _refuse(old: Record, new: StoredRecord) -> None:
    """Raise where the two records' numbers do not mean the same thing."""
    fields: list[tuple[str, object, object]] = [
        ("labels", old.labels, new.record.labels),
        # Noise is drawn on the run's own kind of device: there, equal seeds are other noise.
        ("cost.device", old.cost.device, new.record.cost.device),
    ]
    for name, before in old.metrics.items():
        after = new.record.metrics.get(name)
        if after is None:
            have = ", ".join(new.record.metrics)
            msg = f"{new.path} has no {name}, the baseline has it (found: {have}); measure it too"
            raise RecordError(msg)
        fields += _metric_fields(name, before, after)
    for name, before_value, after_value in fields:
        if before_value != after_value:
            raise _refusal(new, name, after_value, before_value)


def _metric_fields(
    name: str, before: MetricResult, after: MetricResult
) -> Iterable[tuple[str, object, object]]:
    yield f"metrics.{name}.num_images", before.num_images, after.num_images
    yield f"metrics.{name}.display.better", before.display.better, after.display.better
    references = [r.sha256 if r else None for r in (before.reference, after.reference)]
    yield f"metrics.{name}.reference.sha256", references[0], references[1]
    for field in _FEATURES:
        sides = [getattr(m.features, field) if m.features else None for m in (before, after)]
        yield f"metrics.{name}.features.{field}", sides[0], sides[1]


def _refusal(new: StoredRecord, field: str, here: object, there: object) -> RecordError:
    return RecordError(
        f"{new.path} is not comparable with the baseline: {field} is {here}, there it is {there}; "
        f"run {new.name} as the baseline was run, or accept a new baseline with --update"
    )


def changed_fields(old: Record, new: Record) -> tuple[str, ...]:
    """What differs between two runs and may: this is what the gate tests.

    Code is not in it: a changed program with the same settings shows in the samples alone.
    """
    before, after = (
        {
            "scheme": r.scheme,
            "sampler": r.sampler,
            "networks": {k: n.model_dump(exclude={"parameters"}) for k, n in r.networks.items()},
            "engine": r.cost.engine,
            "precision": r.cost.precision,
            "batch_size": r.cost.batch_size,
            "torch": r.environment.get("torch"),
        }
        for r in (old, new)
    )
    return tuple(_differences("", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterable[str]:  # noqa: ANN401  JSON
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{path}.{key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, two) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}.{place}", one, two)
    else:
        short = [v[:12] if isinstance(v, str) else v for v in (before, after)]
        yield f"{path[1:]} {short[0]} → {short[1]}"
