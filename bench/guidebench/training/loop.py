"""The trainer: Adam, inverse-square-root decay, tracked EMAs, snapshots, and resuming.

Every iteration's random numbers depend on the seed and the iteration alone, so a resumed
training equals an unbroken one bit for bit. One thread: sums then have one order.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from guidebench.base import UserError, atomic_write, canonical_json, sha256_bytes
from guidebench.checkpoints.weights import Snapshot, SnapshotFile, stack_snapshots
from guidebench.training.power_ema import PowerEMA

Progress = Callable[[int, int, float], None]
_SAVE_EVERY_SECONDS = 15.0


class Task(Protocol):
    """What is trained, and on what."""

    @property
    def architecture(self) -> str:
        """Name under which the network can be built again."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Its constructor arguments."""
        ...

    def build(self) -> nn.Module:
        """A new network, initialised from torch's global generator."""
        ...

    def loss(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """Loss of one fresh batch, a scalar."""
        ...


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that the trained weights depend on.

    `ramp_iterations` is the linear warm-up, `decay_iterations` the t_ref of the
    inverse-square-root decay (EDM2, arXiv:2312.02696). Each iteration in
    `snapshot_iterations` stores every EMA in `ema_lengths`.
    """

    name: str
    task: Task
    seed: int
    iterations: int
    learning_rate: float
    ramp_iterations: int
    decay_iterations: int
    betas: tuple[float, float]
    ema_lengths: tuple[float, ...]
    snapshot_iterations: tuple[int, ...]
    dtype: torch.dtype

    @property
    def sha256(self) -> str:
        """Digest of all fields: a state of another recipe is never resumed."""
        return sha256_bytes(canonical_json(repr(self)))

    def rate(self, iteration: int) -> float:
        """Learning rate of iteration 1, 2, ..."""
        ramp = min(iteration / self.ramp_iterations, 1.0) if self.ramp_iterations else 1.0
        return self.learning_rate * ramp / math.sqrt(max(iteration / self.decay_iterations, 1.0))


@final
@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves: the snapshots, and the loss of every iteration."""

    file: SnapshotFile
    losses: tuple[float, ...]


class _State:
    """Network, optimiser, averages and snapshots of one training, on disk and off."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.network = recipe.task.build().train()
        self.adam = torch.optim.Adam(self.network.parameters(), betas=recipe.betas, fused=True)
        self.ema = PowerEMA(self.network, recipe.ema_lengths)
        self.stored: list[tuple[Snapshot, dict[str, Tensor]]] = []
        self.losses: list[float] = []
        self.advancing = False

    @property
    def iteration(self) -> int:
        return len(self.losses)

    def advance(self) -> float:
        """One optimiser step; returns its loss.

        While `advancing`, the state is between two iterations and must not be saved.
        """
        self.advancing = True
        iteration, recipe = self.iteration + 1, self.recipe
        seed = recipe.seed * 1_000_003 + iteration
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        loss = recipe.task.loss(self.network, generator)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.adam.param_groups:
            group["lr"] = recipe.rate(iteration)
        self.adam.step()
        self.ema.update(self.network, iteration)
        self.losses.append(float(loss.detach()))
        if not math.isfinite(self.losses[-1]):
            msg = f"training {recipe.name}: loss is {self.losses[-1]} at iteration {iteration}"
            raise UserError(msg + "; lower the learning rate")
        if iteration in recipe.snapshot_iterations:
            for length, average in zip(self.ema.lengths, self.ema.averages, strict=True):
                copy = {name: p.to(recipe.dtype, copy=True) for name, p in average.items()}
                self.stored.append((Snapshot(iteration, length), copy))
        self.advancing = False
        return self.losses[-1]

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes while training, by name."""
        found = {f"network/{n}": t for n, t in self.network.state_dict().items()}
        for i, average in enumerate(self.ema.averages):
            found |= {f"ema{i}/{n}": t for n, t in average.items()}
        for n, p in self.network.named_parameters():
            found |= {f"adam/{n}/{k}": v for k, v in self.adam.state[p].items()}
        for i, (_, copy) in enumerate(self.stored):
            found |= {f"stored{i}/{n}": t for n, t in copy.items()}
        found["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        return {name: t.detach().contiguous().clone() for name, t in found.items()}

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        header = {
            "recipe": self.recipe.sha256,
            "stored": json.dumps([[s.iteration, s.ema] for s, _ in self.stored]),
        }
        atomic_write(path, save(self.tensors(), header))

    def load(self, path: Path) -> None:
        """Take over a saved state of the same recipe; any other file is left alone."""
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("recipe") != self.recipe.sha256:
                    return
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            return  # nothing to resume from: start over

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: t for n, t in found.items() if n.startswith(prefix)}

        self.network.load_state_dict(part("network/"))
        for i, average in enumerate(self.ema.averages):
            average.update(part(f"ema{i}/"))
        for n, p in self.network.named_parameters():
            self.adam.state[p] = part(f"adam/{n}/")
        snapshots = [Snapshot(i, e) for i, e in json.loads(header["stored"])]
        self.stored = [(s, part(f"stored{i}/")) for i, s in enumerate(snapshots)]
        self.losses = found["losses"].tolist()

    def finish(self) -> Trained:
        buffers = {n: b.to(torch.float32) for n, b in self.network.named_buffers()}
        task = self.recipe.task
        file = SnapshotFile(
            architecture=task.architecture,
            config=task.config,
            snapshots=tuple(s for s, _ in self.stored),
            parameters=stack_snapshots([copy for _, copy in self.stored]),
            buffers=buffers,
        )
        return Trained(file, tuple(self.losses))


def train(
    recipe: Recipe, *, state_path: Path | None = None, progress: Progress | None = None
) -> Trained:
    """Train to the end, resuming from `state_path` where it holds this recipe's state.

    Raises:
        UserError: where the loss stops being finite, or the state cannot be written.
    """
    with _own_threads_and_seeds(), _interrupts_between_iterations() as stop_where_asked:
        state = _State(recipe)
        if state_path is not None and state_path.exists():
            state.load(state_path)
        saved = time.monotonic()
        try:
            while state.iteration < recipe.iterations:
                loss = state.advance()
                if progress is not None:
                    progress(state.iteration, recipe.iterations, loss)
                if state_path is not None and time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                    state.save(state_path)
                    saved = time.monotonic()
                stop_where_asked()
        except KeyboardInterrupt:
            if state_path is not None and not state.advancing:
                state.save(state_path)
            raise
        return state.finish()


@contextmanager
def _interrupts_between_iterations() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until an iteration is whole, so that its state can be saved."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))

    def stop() -> None:
        if came:
            raise KeyboardInterrupt

    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _own_threads_and_seeds() -> Iterator[None]:
    threads, seeds = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(seeds)
