"""What a run cost: from what each of its shards says of its own making. No torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from guidebench.measure.clock import throughput
from guidebench.reports.record import Cost, Memory, Phases, RankCost
from guidebench.runs.shards import Batch, Shard, Work
from guidebench.runs.spec import RunSpec

MEMORY_KEYS: Final = ("allocated", "reserved", "device", "host")
_ON_CPU: Final = "not measured on a CPU"
_NOT_SAID: Final = "the shards were made by an earlier version, which did not measure it"
_LEAST_ENERGY_SECONDS: Final = 10.0  # the counter moves every 20 to 100 ms
_MUCH_STEAL: Final = 0.02


@final
@dataclass(slots=True)
class Lane:
    """Shards that one rank made, or several after each other on one device."""

    shards: list[Shard] = field(default_factory=list)

    @property
    def works(self) -> list[Work]:
        """Those of its shards that say."""
        return [s.work for s in self.shards if s.work]

    @property
    def warm(self) -> list[Batch]:
        """Batches that count."""
        return [b for s in self.shards for b in s.batches if not b.cold]


def lanes_of(shards: Sequence[Shard]) -> list[Lane]:
    """As few ranks as can have made these shards: processes that took turns on a device are one.

    A run that was stopped and resumed by two workers each time had two ranks, not four. Moments
    are compared within one host only.
    """
    made: dict[tuple[str, str, str], list[Shard]] = {}
    for shard in shards:
        work = shard.work
        key = (work.host, work.device_id, work.process) if work else ("", "", "")
        made.setdefault(key, []).append(shard)
    lanes: dict[tuple[str, str], list[tuple[float, Lane]]] = {}
    for (host, device, _), theirs in sorted(made.items(), key=lambda m: (m[0][:2], _began(m[1]))):
        here = lanes.setdefault((host, device), [])
        began, ended = _began(theirs), max((s.work.ended for s in theirs if s.work), default=0.0)
        for index, (last, lane) in enumerate(here):
            if last <= began:
                lane.shards += theirs
                here[index] = (ended, lane)
                break
        else:
            here.append((ended, Lane(theirs)))
    return [lane for here in lanes.values() for _, lane in here]


def _began(shards: Iterable[Shard]) -> float:
    return min((s.work.began for s in shards if s.work), default=0.0)


def cost_of(
    spec: RunSpec, shards: Sequence[Shard], flops: float | None, *, ranks: int, threads: int
) -> tuple[Cost, dict[str, str]]:
    """The cost, and why what is None in it is None.

    `flops` are those of one sample; `ranks` counts only where the shards do not say who made them.
    """
    lanes = lanes_of(shards)
    told = all(s.work for s in shards)
    if told:
        ranks = max(len(lanes), *(work.world for lane in lanes for work in lane.works))
    batches = [b for s in shards for b in s.batches]
    warm = [b for b in batches if not b.cold]
    speed = throughput([b.images for b in warm], [b.seconds for b in warm])
    mine = [_rank_cost(lane) for lane in lanes] if told else []
    rates = [r.images_per_second for r in mine if r.images_per_second]
    each = speed.images_per_second
    peak, fraction = _of_peak(lanes, flops)
    cold = [b.seconds for b in batches if b.cold]
    memory = _largest([s.memory for s in shards])
    reduced = [s.reduced_batch_size for s in shards if s.reduced_batch_size is not None]
    cost = Cost(
        device=spec.device,
        engine=spec.engine,
        precision=spec.precision,
        batch_size=spec.batch_size,
        reduced_batch_size=min(reduced, default=None),
        ranks=ranks,
        threads_per_rank=threads,
        images_per_second=sum(rates) + (ranks - len(rates)) * each if each else None,
        images_per_second_per_device=each,
        network_calls_per_image=shards[0].network_calls,
        flops_per_image=flops,
        fraction_of_peak=fraction,
        peak_memory_bytes=memory,
        energy_joules_per_image=_energy(mine) if batches else None,
        first_call_seconds=max(cold, default=None),
        batch_seconds=tuple(b.seconds for b in warm),
        doubts=_out_of_memory(reduced, len(shards), spec.batch_size)
        + ((speed.doubts + _doubts(lanes, spec, ranks, told=told)) if batches else ()),
        peak_flops_per_second=peak,
        total_peak_memory_bytes=_total(mine) if told else None,
        phases=_phases(shards, lanes) if batches and told else None,
        per_rank=tuple(mine),
    )
    reasons = _reasons(cost, lanes, sampled=bool(batches), told=told)
    return cost, reasons | ({"cost.engine": spec.engine_reason} if spec.engine_reason else {})


def _out_of_memory(reduced: Sequence[int], shards: int, batch_size: int) -> tuple[str, ...]:
    if not reduced:
        return ()
    few = f"as few as {min(reduced)} instead of {batch_size}"
    return (f"out of memory: {len(reduced)} of {shards} shards in batches of {few}",)


def _rank_cost(lane: Lane) -> RankCost:
    works, warm = lane.works, lane.warm
    rate = throughput([b.images for b in warm], [b.seconds for b in warm])
    energies = [w.energy_joules for w in works]
    idle = [w.idle_watts for w in works if w.idle_watts is not None]
    return RankCost(
        host=works[0].host,
        device=works[0].device,
        device_name=works[0].device_name,
        images=sum(b.images for s in lane.shards for b in s.batches),
        images_per_second=rate.images_per_second,
        peak_memory_bytes=_largest([s.memory for s in lane.shards]),
        energy_joules=None if None in energies else sum(e for e in energies if e is not None),
        idle_watts=min(idle, default=None),
    )


def _largest(found: Sequence[dict[str, int | None]]) -> Memory:
    return Memory(**{
        key: max((v for m in found if (v := m[key]) is not None), default=None)
        for key in MEMORY_KEYS
    })  # fmt: skip


def _total(ranks: Sequence[RankCost]) -> Memory:
    """Peaks of all ranks together; what is told of a whole device counts once a device."""
    total: dict[str, int | None] = {}
    for key in MEMORY_KEYS:
        seen: dict[object, int] = {}
        for index, rank in enumerate(ranks):
            value = getattr(rank.peak_memory_bytes, key)
            whole = (rank.host, rank.device) if key == "device" else index
            if value is not None:
                seen[whole] = max(value, seen.get(whole, 0))
        total[key] = sum(seen.values()) if seen else None
    return Memory(**total)


def _of_peak(lanes: Sequence[Lane], flops: float | None) -> tuple[float | None, float | None]:
    """The best peak that a rank measured, and what the networks reach of it in the sampler."""
    peak = max((w.peak_flops for lane in lanes for w in lane.works if w.peak_flops), default=None)
    sampled = [b for lane in lanes for b in lane.warm if b.parts.get("sample")]
    if not sampled or peak is None or flops is None:
        return peak, None
    seconds = sum(b.parts["sample"] for b in sampled)
    return peak, flops * sum(b.images for b in sampled) / seconds / peak


def _energy(ranks: Sequence[RankCost]) -> float | None:
    """Joules a sample: each device's counter once, though several ranks may have read it."""
    if not ranks or any(r.energy_joules is None for r in ranks):
        return None
    devices: dict[tuple[str, str], list[float]] = {}
    for rank in ranks:
        devices.setdefault((rank.host, rank.device), []).append(rank.energy_joules or 0.0)
    total = sum(max(found) for found in devices.values())
    return total / sum(r.images for r in ranks)


def _phases(shards: Sequence[Shard], lanes: Sequence[Lane]) -> Phases:
    warm = [b for lane in lanes for b in lane.warm]
    parts = {p: sum(b.parts.get(p, 0.0) for b in warm) for p in ("sample", "decode", "features")}
    return Phases(
        load=sum(w.load_seconds for lane in lanes for w in lane.works),
        warm_up=sum(b.seconds for s in shards for b in s.batches if b.cold),
        **parts,
    )


def _doubts(lanes: Sequence[Lane], spec: RunSpec, ranks: int, *, told: bool) -> tuple[str, ...]:
    works = [w for lane in lanes for w in lane.works]
    found = dict.fromkeys(doubt for w in works for doubt in w.doubts)
    if spec.device == "cpu":
        hosts = {w.host for w in works} or {""}
        if (shared := -(-ranks // len(hosts))) > 1:
            text = "the sum is of their own rates" if told else f"images/s is {ranks} times one's"
            found[f"{shared} ranks shared one CPU: {text}"] = None
    elif len({(w.host, w.device_id) for w in works}) < ranks and told:
        found["several ranks shared one GPU: its energy and memory are of all of them"] = None
    if told and (elsewhere := ranks - len(lanes)):
        text = f"{elsewhere} of {ranks} ranks made nothing here"
        found[f"{text}: images/s counts them at the mean rate of the others"] = None
    steals = [w.steal for w in works if w.steal is not None]
    if steals and (worst := max(steals)) > _MUCH_STEAL:
        found[f"other guests of this host took up to {worst:.0%} of the processor time"] = None
    seconds = sum(b.seconds for lane in lanes for b in lane.warm)
    if seconds < _LEAST_ENERGY_SECONDS and any(w.energy_joules is not None for w in works):
        found[f"energy over {seconds:.1f} s only: the counter moves every 20 to 100 ms"] = None
    return tuple(found)


def _reasons(cost: Cost, lanes: Sequence[Lane], *, sampled: bool, told: bool) -> dict[str, str]:
    notes: dict[str, str] = {}
    for work in (w for lane in lanes for w in lane.works):
        notes |= work.notes
    found: dict[str, str] = {}
    if cost.energy_joules_per_image is None:
        found["cost.energy_joules_per_image"] = notes.get(
            "energy", _NOT_SAID if cost.device == "cuda" else _ON_CPU
        )
    if cost.fraction_of_peak is None:
        found["cost.fraction_of_peak"] = (
            "real data is not sampled" if not sampled
            else _NOT_SAID if not told
            else "no batch was timed after its warm-up"
        )  # fmt: skip
    if cost.images_per_second is None:
        found["cost.images_per_second"] = (
            "no batch was timed after its warm-up" if sampled else "real data is not sampled"
        )
    memory = cost.peak_memory_bytes.model_dump()
    return found | {f"cost.peak_memory_bytes.{k}": _ON_CPU for k, v in memory.items() if v is None}
