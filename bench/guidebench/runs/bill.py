"""What making a shard costs on this process's device: time, energy, memory, and doubts."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

import psutil
import torch

from guidebench.measure.machine import Environment, environment
from guidebench.measure.nvml import Gpu, Meter, NvmlError
from guidebench.measure.roofline import process_peak
from guidebench.runs.claims import Owner
from guidebench.runs.shards import Work

_BUSY: Final = 1.5
"""A load average above this many times the processors makes a time doubtful."""


@final
@dataclass(frozen=True, slots=True)
class Here:
    """This process and its device, looked up once; `gpu` is None without NVML, `notes` say why."""

    owner: Owner
    device: str
    device_id: str
    device_name: str
    gpu: Gpu | None
    idle_watts: float | None
    notes: dict[str, str]


@lru_cache(maxsize=2)
def here(kind: str) -> Here:
    """Look up this process's device, "cpu" or "cuda"; to be called before it has work to do."""
    owner = Owner.here()
    if kind != "cuda":
        name = str(environment("cpu")["cpu"])
        return Here(owner, "cpu", "cpu", name, None, None, {"energy": "not measured on a CPU"})
    index = torch.cuda.current_device()
    properties = torch.cuda.get_device_properties(index)
    gpu, watts, notes = open_gpu(str(properties.uuid))
    return Here(owner, f"cuda:{index}", str(properties.uuid), properties.name, gpu, watts, notes)


def open_gpu(uuid: str, nvml: object = None) -> tuple[Gpu | None, float | None, dict[str, str]]:
    """A GPU's counters and the power that it draws now, and what NVML does not tell."""
    try:
        gpu = Gpu(uuid, nvml)
    except NvmlError as error:
        return None, None, {"energy": str(error)}
    try:
        return gpu, gpu.power_watts(), {}
    except NvmlError as error:
        return gpu, None, {"idle_watts": str(error)}


@lru_cache(maxsize=2)
def _environment(kind: str) -> Environment:
    """Software and machine; the time and the load in it are set for each shard."""
    return environment(kind)


@final
class Bill:
    """Everything that one shard's `Work` says; `spent` goes around the sampling alone."""

    def __init__(self, kind: str, dtype: torch.dtype | None) -> None:
        """`dtype` is that of the matrix products whose peak is asked for; None for real data."""
        self._kind, self._here = kind, here(kind)
        self._peak = process_peak(_device(self._here), dtype) if dtype is not None else None
        self._began, self._ended = time.time(), 0.0
        self._joules: float | None = None
        self._steal: float | None = None
        self._notes = dict(self._here.notes)
        self._doubts: list[str] = []
        self.load_seconds = 0.0
        self.peak_bytes: int | None = None

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Measure what the block takes."""
        start, stolen = time.perf_counter(), _stolen()
        if self._here.gpu is None:
            yield
        else:
            with Meter(self._here.gpu) as meter:
                yield
            self._read(meter)
        seconds = time.perf_counter() - start
        if stolen is not None and (now := _stolen()) is not None:
            self._steal = (now - stolen) / (seconds * (os.cpu_count() or 1))
        self._ended = time.time()

    def _read(self, meter: Meter) -> None:
        self._joules, self.peak_bytes = meter.joules, meter.peak_bytes
        if meter.joules is None:
            self._notes["energy"] = "; ".join(meter.problems) or "NVML does not tell the energy"
        if meter.held_back:
            self._doubts.append(f"the GPU's clocks were held back by {', '.join(meter.held_back)}")

    def work(self, world: int) -> Work:
        """All of it, for the shard's file."""
        load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
        cores = os.cpu_count() or 1
        if load is not None and self._kind == "cpu" and load > _BUSY * cores:
            self._doubts.append(
                f"the machine was busy: load average over {_BUSY:g} times its cores"
            )
        moment = {
            "load_average": load,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        }
        at = self._here
        return Work(
            host=at.owner.host,
            process=at.owner.token,
            device=at.device,
            device_id=at.device_id,
            device_name=at.device_name,
            world=world,
            began=self._began,
            ended=self._ended,
            load_seconds=self.load_seconds,
            peak_flops=self._peak,
            energy_joules=self._joules,
            idle_watts=at.idle_watts,
            steal=self._steal,
            notes=self._notes,
            doubts=tuple(self._doubts),
            environment=_environment(self._kind) | moment,
        )


def _device(at: Here) -> torch.device:
    return torch.device(at.device)


def _stolen() -> float | None:
    """Seconds of processor time that the hypervisor gave to other guests; None if not told."""
    return getattr(psutil.cpu_times(), "steal", None)
