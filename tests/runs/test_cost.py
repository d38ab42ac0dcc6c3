"""What shards say of their making, put together: ranks, sums, peaks, phases, doubts, reasons."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebench.runs.bill import open_gpu
from guidebench.runs.catalog import select
from guidebench.runs.cost import cost_of, lanes_of
from guidebench.runs.shards import Batch, Shard, Work
from guidebench.runs.spec import RunSpec
from tests.measure.test_nvml import NvidiaModule

WORK = Work(
    host="h0", process="p0", device="cpu", device_id="cpu", device_name="a processor", world=1,
    began=0.0, ended=10.0, load_seconds=0.5, peak_flops=1e9, energy_joules=None, idle_watts=None,
    steal=0.0, notes={"energy": "not measured on a CPU"}, doubts=(), environment={"time": "t"},
)  # fmt: skip
ON_GPU = replace(
    WORK, device="cuda:0", device_id="u0", device_name="a GPU", energy_joules=200.0,
    idle_watts=60.0, notes={},
)  # fmt: skip
Bytes = dict[str, int | None]
HOST: Bytes = {"allocated": None, "reserved": None, "device": None, "host": 100}


def spec(device: str = "cpu") -> RunSpec:
    return select(["fractal::none"])[0].spec.with_options(device=device)


def shard(
    work: Work | None,
    seconds: Sequence[float] = (1.0,) * 5,
    *,
    cold: float | None = None,
    memory: Bytes | None = None,
) -> Shard:
    batches = [] if cold is None else [Batch(8, cold, cold=True, parts={"sample": cold})]
    batches += [
        Batch(8, s, cold=False, parts={"sample": 0.8 * s, "decode": 0.15 * s, "features": 0.05 * s})
        for s in seconds
    ]
    arrays = {"x": np.zeros(1)}
    return Shard(arrays, "0" * 64, tuple(batches), {"main": 3}, memory or HOST, work)


def test_one_rank() -> None:
    cost, reasons = cost_of(spec(), [shard(WORK, cold=4.0)], 1e6, ranks=7, threads=1)
    assert (cost.ranks, cost.images_per_second, cost.images_per_second_per_device) == (1, 8.0, 8.0)
    assert cost.first_call_seconds == 4.0
    assert cost.batch_seconds == (1.0,) * 5
    assert cost.fraction_of_peak == pytest.approx(1e6 * 40 / 4.0 / 1e9)
    assert cost.peak_flops_per_second == 1e9
    assert cost.phases is not None
    assert cost.phases.model_dump() == pytest.approx(
        {"load": 0.5, "warm_up": 4.0, "sample": 4.0, "decode": 0.75, "features": 0.25}
    )
    assert cost.doubts == ()
    assert reasons["cost.energy_joules_per_image"] == "not measured on a CPU"
    assert "cost.fraction_of_peak" not in reasons


def test_the_sum_is_of_each_ranks_own_rate_and_memory() -> None:
    slow = replace(WORK, process="p1")
    cost, _ = cost_of(
        spec(),
        [shard(WORK), shard(slow, (2.0,) * 5, memory=HOST | {"host": 300})],
        1e6, ranks=1, threads=1,
    )  # fmt: skip
    assert [r.images_per_second for r in cost.per_rank] == [8.0, 4.0]
    assert cost.images_per_second == 12.0
    assert cost.images_per_second_per_device == pytest.approx(80 / 15)
    assert cost.peak_memory_bytes.host == 300
    assert cost.total_peak_memory_bytes is not None
    assert cost.total_peak_memory_bytes.host == 400
    assert "2 ranks shared one CPU: the sum is of their own rates" in cost.doubts
    assert "time per image varies by 33% between batches" in cost.doubts


def test_a_rank_that_was_busy_elsewhere_counts_at_the_mean_rate() -> None:
    cost, _ = cost_of(spec(), [shard(replace(WORK, world=3))], 1e6, ranks=1, threads=1)
    assert (cost.ranks, len(cost.per_rank), cost.images_per_second) == (3, 1, 24.0)
    assert (
        "2 of 3 ranks made nothing here: images/s counts them at the mean rate of the others"
        in cost.doubts
    )
    assert cost.images_per_second_per_device == 8.0


def test_a_devices_own_counters_count_once_a_device() -> None:
    memory: Bytes = {"allocated": 10, "reserved": 20, "device": 50, "host": 5}
    shards = [
        shard(ON_GPU, memory=memory),
        shard(replace(ON_GPU, process="p1", energy_joules=180.0), memory=memory | {"device": 55}),
        shard(
            replace(ON_GPU, process="p2", device="cuda:1", device_id="u1"),
            (3.0,) * 5,
            memory=memory,
        ),
    ]
    cost, reasons = cost_of(spec("cuda"), shards, None, ranks=1, threads=1)
    assert cost.ranks == 3
    total = cost.total_peak_memory_bytes
    assert total is not None
    assert total.model_dump() == {"allocated": 30, "reserved": 60, "device": 105, "host": 15}
    assert cost.energy_joules_per_image == pytest.approx(400.0 / 120)
    assert {r.idle_watts for r in cost.per_rank} == {60.0}
    shared = "several ranks shared one GPU: its energy and memory are of all of them"
    assert shared in cost.doubts
    assert not any(key.startswith("cost.energy") for key in reasons)


def test_energy_over_a_short_time_is_doubted_and_a_lack_is_explained() -> None:
    cost, _ = cost_of(spec("cuda"), [shard(ON_GPU)], 1e6, ranks=1, threads=1)
    assert cost.doubts == ("energy over 5.0 s only: the counter moves every 20 to 100 ms",)
    silent = replace(ON_GPU, energy_joules=None, notes={"energy": "NVML cannot be used: no driver"})
    cost, reasons = cost_of(spec("cuda"), [shard(ON_GPU), shard(silent)], 1e6, ranks=1, threads=1)
    assert cost.energy_joules_per_image is None
    assert reasons["cost.energy_joules_per_image"] == "NVML cannot be used: no driver"


def test_a_busy_machine_is_doubted() -> None:
    doubted = replace(WORK, steal=0.3, doubts=("the machine was busy",))
    cost, _ = cost_of(spec(), [shard(doubted), shard(doubted)], 1e6, ranks=1, threads=1)
    assert cost.doubts == (
        "the machine was busy",
        "other guests of this host took up to 30% of the processor time",
    )


def test_shards_that_do_not_say_who_made_them() -> None:
    """As version 0.1 first wrote them."""
    cost, reasons = cost_of(spec(), [shard(None), shard(None)], 1e6, ranks=3, threads=1)
    assert (cost.ranks, cost.images_per_second, cost.per_rank) == (3, 24.0, ())
    assert (cost.phases, cost.fraction_of_peak) == (None, None)
    assert "earlier version" in reasons["cost.fraction_of_peak"]


def test_only_cold_batches_is_no_rate() -> None:
    cost, reasons = cost_of(spec(), [shard(WORK, (), cold=3.0)], 1e6, ranks=1, threads=1)
    assert (cost.images_per_second, cost.fraction_of_peak) == (None, None)
    assert reasons["cost.images_per_second"] == "no batch was timed after its warm-up"
    assert cost.doubts == ("no batch was timed after its warm-up",)


@given(st.integers(1, 4), st.integers(1, 6))
def test_ranks_are_not_counted_again_after_a_resume(ranks: int, sessions: int) -> None:
    """However often all processes were killed and started anew."""
    shards = [
        shard(replace(WORK, process=f"{s}.{r}", began=10.0 * s + r, ended=10.0 * s + 9))
        for s in range(sessions)
        for r in range(ranks)
    ]
    lanes = lanes_of(shards)
    assert len(lanes) == ranks
    assert sum(len(lane.shards) for lane in lanes) == len(shards)


def test_hosts_and_devices_are_ranks_of_their_own() -> None:
    later = replace(WORK, began=20.0, ended=30.0)
    shards = [
        shard(WORK),
        shard(replace(later, host="h1", process="p1")),
        shard(replace(later, device_id="u", process="p2")),
    ]
    assert len(lanes_of(shards)) == 3


def test_a_gpu_without_nvml_still_works() -> None:
    gpu, watts, notes = open_gpu("1234", NvidiaModule())
    assert gpu is not None
    assert (watts, notes) == (68.25, {})
    assert open_gpu("1234", NvidiaModule(lacks=("library",))) == (
        None, None, {"energy": "NVML cannot be used: Not Supported"},
    )  # fmt: skip
    gpu, watts, notes = open_gpu("1234", NvidiaModule(lacks=("power",)))
    assert gpu is not None
    assert (watts, list(notes)) == (None, ["idle_watts"])
