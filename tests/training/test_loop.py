"""Training: what it depends on, what it leaves, and that it can be stopped anywhere."""

import math
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.base import UserError
from guidebench.checkpoints.weights import Snapshot
from guidebench.training import loop
from guidebench.training.loop import Recipe, Trained, train
from guidebench.training.power_ema import PowerEMA
from guidebench.training.recipes import RECIPES

SMALL = next(r for r in RECIPES["digits"] if r.name == "digits-small")
SHORT = replace(SMALL, iterations=8, snapshot_iterations=(4, 8), dtype=torch.float32)


class Drop(nn.Module):
    """A line and a dropout: its loss depends on torch's global generator too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x * self.weight, 0.5)


@dataclass(frozen=True)
class ToyTask:
    """Learns the value 2 through dropout; iteration `nan_at`, if any, has no finite loss."""

    nan_at: int = 0
    architecture: str = "toy"

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def build(self) -> nn.Module:
        return Drop()

    def loss(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        found: Tensor = network(torch.randn(8, 4, generator=generator)).sub(2).square().mean()
        bad = self.nan_at and generator.initial_seed() % 1_000_003 == self.nan_at
        return found * math.nan if bad else found


TOY = Recipe(
    name="toy",
    task=ToyTask(),
    seed=3,
    iterations=20,
    learning_rate=0.1,
    ramp_iterations=5,
    decay_iterations=10,
    betas=(0.9, 0.99),
    ema_lengths=(0.05, 0.10),
    snapshot_iterations=(10, 20),
    dtype=torch.float32,
)


def same(a: Trained, b: Trained) -> bool:
    return (
        a.losses == b.losses
        and a.file.snapshots == b.file.snapshots
        and all(torch.equal(t, b.file.parameters[n]) for n, t in a.file.parameters.items())
        and all(torch.equal(t, b.file.buffers[n]) for n, t in a.file.buffers.items())
    )


class Stop:
    """Progress that interrupts at an iteration, and remembers which ones it saw."""

    def __init__(self, at: int = 0, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error = at, error
        self.seen: list[int] = []

    def __call__(self, iteration: int, iterations: int, loss: float) -> None:
        assert math.isfinite(loss)
        assert iteration <= iterations
        self.seen.append(iteration)
        if iteration == self.at:
            raise self.error


def test_what_is_left() -> None:
    trained = train(TOY)
    assert len(trained.losses) == 20
    assert trained.file.architecture == "toy"
    assert trained.file.snapshots == tuple(Snapshot(i, e) for i in (10, 20) for e in (0.05, 0.10))
    assert trained.file.parameters["weight"].shape == (4, 4)


def test_the_same_seed_gives_the_same_bits() -> None:
    first = train(TOY)
    torch.manual_seed(99)
    assert same(first, train(TOY))
    assert not same(first, train(replace(TOY, seed=4)))


def test_a_real_network_has_the_same_bits_too() -> None:
    assert same(train(SHORT), train(SHORT))


@pytest.mark.parametrize("at", [1, 9, 10, 11, 19])
def test_resumed_equals_unbroken(tmp_path: Path, at: int) -> None:
    path, unbroken = tmp_path / "state", train(TOY)
    with pytest.raises(KeyboardInterrupt):
        train(TOY, state_path=path, progress=Stop(at))
    after = Stop()
    assert same(train(TOY, state_path=path, progress=after), unbroken)
    assert after.seen == list(range(at + 1, 21))


@pytest.mark.parametrize("recipe", [SHORT, replace(SHORT, dtype=torch.float16)], ids=["32", "16"])
def test_a_real_network_resumes_twice(tmp_path: Path, recipe: Recipe) -> None:
    path, unbroken = tmp_path / "state", train(recipe)
    for at in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, state_path=path, progress=Stop(at))
    assert same(train(recipe, state_path=path), unbroken)


def test_an_interrupt_inside_an_iteration_saves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights have moved and the averages have not: such a state must not be resumed."""
    path, unbroken = tmp_path / "state", train(TOY)
    with pytest.raises(KeyboardInterrupt):
        train(TOY, state_path=path, progress=Stop(6))
    kept, update = path.read_bytes(), PowerEMA.update

    def interrupted(self: PowerEMA, network: nn.Module, iteration: int) -> None:
        if iteration == 12:
            raise KeyboardInterrupt
        update(self, network, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(PowerEMA, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(TOY, state_path=path)
    assert path.read_bytes() == kept
    assert same(train(TOY, state_path=path), unbroken)


def test_a_real_ctrl_c_waits_for_the_iteration_to_be_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unbroken, update = tmp_path / "state", train(TOY), PowerEMA.update
    handler = signal.getsignal(signal.SIGINT)

    def signalled(self: PowerEMA, network: nn.Module, iteration: int) -> None:
        if iteration == 12:
            os.kill(os.getpid(), signal.SIGINT)
        update(self, network, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(PowerEMA, "update", signalled)
        with pytest.raises(KeyboardInterrupt):
            train(TOY, state_path=path)
    assert signal.getsignal(signal.SIGINT) is handler
    after = Stop()
    assert same(train(TOY, state_path=path, progress=after), unbroken)
    assert after.seen[0] == 13


def test_a_crash_loses_only_what_was_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unbroken = tmp_path / "state", train(TOY)
    monkeypatch.setattr(loop, "_SAVE_EVERY_SECONDS", -1.0)
    with pytest.raises(RuntimeError):
        train(TOY, state_path=path, progress=Stop(13, RuntimeError))
    after = Stop()
    assert same(train(TOY, state_path=path, progress=after), unbroken)
    assert after.seen[0] == 13


def test_another_recipes_state_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        train(replace(TOY, learning_rate=0.2), state_path=path, progress=Stop(5))
    after = Stop()
    assert same(train(TOY, state_path=path, progress=after), train(TOY))
    assert after.seen[0] == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_state_cut_short_is_ignored(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        train(TOY, state_path=path, progress=Stop(5))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert same(train(TOY, state_path=path), train(TOY))


def test_digest_sees_every_field() -> None:
    changed: dict[str, Any] = {
        "name": "b", "task": ToyTask(nan_at=2), "seed": 4, "iterations": 21,
        "learning_rate": 0.2, "ramp_iterations": 6, "decay_iterations": 11, "betas": (0.8, 0.99),
        "ema_lengths": (0.05,), "snapshot_iterations": (20,), "dtype": torch.float16,
    }  # fmt: skip
    assert set(changed) == set(TOY.__dataclass_fields__)
    digests = {replace(TOY, **{k: v}).sha256 for k, v in changed.items()}
    assert len(digests | {TOY.sha256}) == len(changed) + 1


def test_rate_ramps_holds_and_falls() -> None:
    recipe = replace(TOY, learning_rate=1.0, ramp_iterations=10, decay_iterations=40)
    assert [recipe.rate(i) for i in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1.0])
    assert [recipe.rate(i) for i in (11, 39, 40)] == [1.0, 1.0, 1.0]
    assert [recipe.rate(i) for i in (160, 360)] == pytest.approx([1 / 2, 1 / 3])
    assert replace(recipe, ramp_iterations=0).rate(1) == 1.0


def test_threads_and_seeds_are_given_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    for recipe in (TOY, replace(TOY, task=ToyTask(nan_at=2))):
        torch.manual_seed(5)
        torch.set_num_threads(2)
        try:
            train(recipe)
        except UserError:
            assert recipe is not TOY
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.rand(3), expected)
    torch.set_num_threads(1)


def test_a_loss_that_is_not_finite_is_told_with_its_iteration(tmp_path: Path) -> None:
    recipe = replace(TOY, task=ToyTask(nan_at=7))
    with pytest.raises(UserError, match="training toy: loss is nan at iteration 7; lower the lea"):
        train(recipe, state_path=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_learning_happens() -> None:
    recipe = replace(SMALL, iterations=40, snapshot_iterations=(40,))
    losses = train(recipe).losses
    assert sum(losses[-10:]) / 10 < sum(losses[:5]) / 5 - 0.15
