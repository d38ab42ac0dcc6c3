"""Sampling: a spec and some seeds in, decoded samples, features and timings out.

Shapes: B samples of a batch.
"""

import gc
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.checkpoints.builtin import builtin_file
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.checkpoints.weights import load_snapshots
from guidebench.measure.clock import part, timed
from guidebench.measure.flops import count_flops
from guidebench.measure.stopwatch import stopwatch
from guidebench.networks import Denoiser, build_denoiser
from guidebench.runs.domains import domain_of
from guidebench.runs.execution import Execution
from guidebench.runs.inputs import checkpoint_path
from guidebench.runs.shards import Batch
from guidebench.runs.spec import CheckpointRef, NetworkRef, RunSpec
from guidebench.sampling import Plan, make_plan

Arrays = dict[str, NDArray[Any]]


DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@lru_cache(maxsize=32)
def load_denoiser(ref: NetworkRef, device: str, precision: str = "fp32") -> Denoiser:
    """A built-in network, in inference form."""
    file = load_snapshots(builtin_file(ref.name)[0])
    state = file.reconstruct(ref.iteration, ref.ema)
    dtype = DTYPES[precision]
    return build_denoiser(file.architecture, file.config, state, dtype=dtype).to(device)


@lru_cache(maxsize=4)
def load_checkpoint(name: str, device: str, precision: str) -> Denoiser:
    """A published network, in inference form. Few are kept: they are large."""
    file = NetworkFile.load(checkpoint_path(name))
    header, dtype = file.header, DTYPES[precision]
    made = build_denoiser(
        header.architecture, header.config, file.tensors, dtype=dtype, release=True
    )
    return made.to(device)


def networks_of(spec: RunSpec) -> dict[str, Denoiser]:
    """Each role's network, in inference form on the spec's device.

    Raises:
        UserError: where they do not sample the same shape.
    """
    found: dict[str, Denoiser] = {}
    for role, ref in spec.networks.items():
        precision = spec.precision_of(role)
        if isinstance(ref, CheckpointRef):
            found[role] = load_checkpoint(ref.checkpoint, spec.device, precision)
        else:
            found[role] = load_denoiser(ref, spec.device, precision)
        if found[role].sample_shape != found["main"].sample_shape:
            msg = (
                f"main samples {found['main'].sample_shape}, {role} {found[role].sample_shape}; "
                "guidance needs networks of one shape"
            )
            raise UserError(msg)
    return found


@final
@dataclass(frozen=True, slots=True)
class Sampled:
    """Arrays with one row per seed, the time of each batch, and calls of each network role.

    `reduced_batch_size` is the size that did fit where the spec's ran out of memory.
    """

    arrays: Arrays
    batches: tuple[Batch, ...]
    network_calls: dict[str, int]
    reduced_batch_size: int | None = None


class Sampler:
    """A spec made ready on its device; `sample` may be called for any seeds."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.domain = spec, domain_of(spec)
        self.device = torch.device(spec.device)
        self._watch = stopwatch(self.device)
        self._warm: set[int] = set()
        self.plan: Plan | None = None
        if spec.sampler is not None and spec.scheme is not None:
            self.plan = make_plan(spec.sampler, spec.scheme)
        self.networks = networks_of(spec)
        self._execution = None if self.plan is None else Execution(spec, self.plan, self.networks)

    def sample(self, seeds: Sequence[int]) -> Sampled:
        """Samples in seed order, in batches of the spec's size; the last may be smaller.

        Where a batch does not fit into memory, all of these seeds are sampled again in batches
        of half the size: another size may round otherwise, so the result says so.

        Raises:
            UserError: for samples that are not finite, or one sample that does not fit.
        """
        size = self.spec.batch_size
        while True:
            try:
                found = self._sample(seeds, size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    msg = f"{self.spec.device} has no memory for one sample of {self.spec.title}"
                    raise UserError(msg) from error
            else:
                reduced = None if size == self.spec.batch_size else size
                return replace(found, reduced_batch_size=reduced)
            size //= 2
            text = f"out of memory: seeds {seeds[0]} to {seeds[-1]} again in batches of {size}"
            print(text, file=sys.stderr)
            self._release()

    def _sample(self, seeds: Sequence[int], size: int) -> Sampled:
        if self.plan is None:
            return Sampled(self.domain.real(seeds), (), {})
        parts: list[Arrays] = []
        batches: list[Batch] = []
        calls: Counter[str] = Counter()
        for start in range(0, len(seeds), size):
            batch = seeds[start : start + size]
            (arrays, made), timing = timed(lambda b=batch: self._batch(b), self._watch)  # type: ignore[misc]
            cold = len(batch) not in self._warm
            self._warm.add(len(batch))
            batches.append(Batch(len(batch), timing.seconds, cold, timing.parts))
            parts.append(arrays)
            calls += made
        if (expected := self.plan.network_calls()) != {
            role: count // len(batches) for role, count in calls.items()
        }:
            msg = f"planned {expected} network calls per sample, made {dict(calls)}"
            raise AssertionError(msg)
        stacked = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        return Sampled(stacked, tuple(batches), expected)

    @torch.inference_mode()
    def _batch(self, seeds_B: Sequence[int]) -> tuple[Arrays, Counter[str]]:
        spec = self.spec
        assert self._execution is not None
        assert spec.sampler is not None
        start = self.domain.start(seeds_B, spec.sampler.sigma_max, self.device)
        with part("sample"):
            x, calls = self._execution.integrate(start)
        try:
            return self.domain.finish(x, start), calls
        except UserError as error:
            msg = f"seeds {seeds_B[0]} to {seeds_B[-1]}: {error}"
            raise UserError(msg) from error

    def _release(self) -> None:
        """Give back what the failed size held, recorded steps and their memory included.

        What comes next is recorded anew, so that its first batches are cold again.
        """
        assert self.plan is not None
        self._execution = None
        give_back_memory(self.device)
        self._execution = Execution(self.spec, self.plan, self.networks)
        self._warm.clear()

    @torch.inference_mode()
    def flops_per_image(self) -> float | None:
        """FLOPs of all network calls of one sample, 2 per multiply-add; None for real data."""
        if self.plan is None:
            return None
        calls, total = self.plan.network_calls(), 0
        for role, network in self.networks.items():
            x = torch.zeros(1, *network.sample_shape, device=self.device)
            labels = torch.zeros(1, network.label_dim, device=self.device)
            asked = labels if network.label_dim else None
            total += calls[role] * count_flops(lambda n=network, a=x, b=asked: n(a, 1.0, b))  # type: ignore[misc]
        return float(total)


_NO_MEMORY: Final = (
    "not enough memory",  # torch's allocator on the host, which has no error type of its own,
    "can't allocate memory",  # by the system's answer
    "ALLOC_FAILED",  # cuBLAS and cuDNN, which allocate for themselves
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, also where that broke a recording, whose own error then hides it."""
    return any(
        isinstance(e, (torch.OutOfMemoryError, MemoryError)) or any(t in str(e) for t in _NO_MEMORY)
        for e in _and_what_led_to(error)
    )


def _and_what_led_to(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def give_back_memory(device: torch.device) -> None:
    """Free what nobody holds; recorded steps and their owner hold each other, so it takes gc."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


_KEPT: dict[str, Sampler] = {}


def sampler_for(spec: RunSpec) -> Sampler:
    """This process's sampler of a spec; of large networks only the last one is kept."""
    key = spec.model_dump_json()
    if key not in _KEPT:
        if spec.domain == "images":
            _KEPT.clear()
            load_checkpoint.cache_clear()
            give_back_memory(torch.device(spec.device))
        _KEPT[key] = Sampler(spec)
    return _KEPT[key]
