"""What a shard says that it cost, against stand-ins for the clock, the host and NVML."""

from pathlib import Path

import pytest
import torch

from guidebench.measure.machine import environment
from guidebench.measure.memory import peak_memory
from guidebench.measure.nvml import Gpu
from guidebench.runs import bill
from guidebench.runs.bill import Bill, Here
from guidebench.runs.claims import Owner
from guidebench.runs.folder import make_job
from guidebench.runs.worker import sample_shard
from tests.measure.test_nvml import NvidiaModule
from tests.runs.test_sample import small


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> NvidiaModule:
    """A GPU's counters where there is no GPU."""
    nvml = NvidiaModule()
    at = Here(Owner.here(), "cuda:0", "1234", "a GPU", Gpu("1234", nvml), 60.0, {})
    monkeypatch.setattr(bill, "here", lambda _: at)
    monkeypatch.setattr(bill, "_environment", lambda _: environment("cpu"))
    return nvml


def test_energy_memory_and_slowed_clocks_are_the_devices(module: NvidiaModule) -> None:
    made = Bill("cuda", None)
    with made.spent():
        module.used, module.millijoules, module.reasons = 3 << 30, 12_500, 0x40
    work = made.work(2)
    assert (work.energy_joules, work.idle_watts, work.world) == (7.5, 60.0, 2)
    assert made.peak_bytes == 3 << 30
    assert work.doubts == ("the GPU's clocks were held back by heat (hardware)",)
    assert work.notes == {}
    assert work.began <= work.ended


def test_energy_that_is_not_told_has_its_reason(module: NvidiaModule) -> None:
    module.lacks = ("energy",)
    made = Bill("cuda", None)
    with made.spent():
        pass
    work = made.work(1)
    assert work.energy_joules is None
    assert work.notes == {"energy": "NVML does not tell the energy used: Not Supported"}


@pytest.mark.parametrize("load", [1.4, 1.6])
def test_a_host_that_others_use_is_told(load: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (4 * load, 0.0, 0.0))
    seconds, stolen = iter([10.0, 15.0]), iter([100.0, 102.0])
    monkeypatch.setattr(bill, "_stolen", lambda: next(stolen))
    made = Bill("cpu", None)
    with monkeypatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(seconds))
        with made.spent():
            pass
    work = made.work(1)
    assert work.steal == 0.1  # 2 s of 4 processors' 5 s
    busy = "the machine was busy: load average over 1.5 times its cores"
    assert work.doubts == ((busy,) if load > 1.5 else ())
    assert work.environment["load_average"] == round(4 * load, 2)


@pytest.mark.parametrize(("seen", "most"), [(None, 70), (60, 70), (90, 90)])
def test_memory_of_the_whole_device_is_the_most_that_anyone_saw(
    seen: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (30, 100))
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda _: 40)
    monkeypatch.setattr("torch.cuda.max_memory_reserved", lambda _: 50)
    found = peak_memory(torch.device("cuda"), seen)
    assert (found["allocated"], found["reserved"], found["device"]) == (40, 50, most)


def test_a_shard_says_how_long_loading_took_and_starts_a_new_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[torch.device] = []
    monkeypatch.setattr("guidebench.measure.memory.reset_peak", resets.append)
    job = make_job(small("fractal::none", first_seed=77), tmp_path, threads=1)
    job.prepare()
    for index in range(2):
        sample_shard(job, index)
    shards = [job.shard(index) for index in range(2)]
    assert [bool(s and s.work and s.work.load_seconds > 0) for s in shards] == [True, True]
    assert resets == [torch.device("cpu")] * 2
    cold = [[batch.cold for batch in s.batches] for s in shards if s]
    assert cold == [[True, False], [False]], "once a size and process, whatever the shard"
