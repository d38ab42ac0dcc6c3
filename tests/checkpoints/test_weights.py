from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from guidebench.base import UserError
from guidebench.checkpoints.weights import (
    Snapshot,
    SnapshotFile,
    load_snapshots,
    stack_snapshots,
)
from guidebench.training.power_ema import PowerEMA

LENGTHS = (0.05, 0.10)
WANTED = 0.07


def example(num: int = 3) -> SnapshotFile:
    states = [{"a.weight": torch.randn(4, 3), "gain": torch.randn([])} for _ in range(num)]
    return SnapshotFile(
        architecture="fractal",
        config={"hidden": 4, "widths": [1, 2]},
        snapshots=tuple(Snapshot(100 * (i + 1), 0.05) for i in range(num)),
        parameters=stack_snapshots(states),
        buffers={"freqs": torch.randn(5)},
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    file, path = example(), tmp_path / "weights.safetensors"
    file.save(path, dtype)
    found = load_snapshots(path)
    assert (found.architecture, dict(found.config)) == (file.architecture, file.config)
    assert found.snapshots == file.snapshots
    assert found.num_parameters == file.num_parameters == 13
    assert set(found.parameters) == set(file.parameters)
    for name, stack in file.parameters.items():
        assert torch.equal(found.parameters[name], stack.to(dtype))
    assert set(found.buffers) == {"freqs"}
    assert torch.equal(found.buffers["freqs"], file.buffers["freqs"])


def test_equal_files_have_equal_bytes(tmp_path: Path) -> None:
    file = example()
    for name in "ab":
        file.save(tmp_path / name, torch.float32)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_stored_snapshot_comes_back_exactly() -> None:
    file = example()
    for index, snapshot in enumerate(file.snapshots):
        state = file.reconstruct(snapshot.iteration, snapshot.ema)
        for name, stack in file.parameters.items():
            assert torch.equal(state[name], stack[index])
        assert torch.equal(state["freqs"], file.buffers["freqs"])


def walk() -> tuple[SnapshotFile, dict[int, Tensor]]:
    """A random walk of weights: snapshots of two averages, and the truth of a third."""
    layer, generator = nn.Linear(500, 1, bias=False).double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        layer.weight.zero_()
    ema = PowerEMA(layer, (*LENGTHS, WANTED))
    snapshots: list[Snapshot] = []
    states: list[dict[str, Tensor]] = []
    truth: dict[int, Tensor] = {}
    for iteration in range(1, 1001):
        with torch.no_grad():
            layer.weight += torch.randn(1, 500, generator=generator, dtype=torch.float64)
        ema.update(layer, iteration)
        if iteration % 125 == 0:
            for length, average in zip(LENGTHS, ema.averages, strict=False):
                snapshots.append(Snapshot(iteration, length))
                states.append({n: t.clone() for n, t in average.items()})
            truth[iteration] = ema.averages[2]["weight"].clone()
    file = SnapshotFile("toy", {}, tuple(snapshots), stack_snapshots(states), {})
    return file, truth


@pytest.mark.parametrize("iteration", [625, 1000])
def test_reconstruction_finds_an_average_that_was_not_stored(iteration: int) -> None:
    file, truth = walk()
    expected = truth[iteration].float()
    found = file.reconstruct(iteration, WANTED)["weight"]
    stored = (file.reconstruct(s.iteration, s.ema)["weight"] for s in file.snapshots)
    nearest = min((s - expected).norm().item() for s in stored)
    assert (found - expected).norm().item() < 0.1 * nearest


def test_one_snapshot_can_be_nothing_else() -> None:
    file = example(1)
    assert set(file.reconstruct(100, 0.05)) == {"a.weight", "gain", "freqs"}
    with pytest.raises(UserError, match=r"only EMA 0\.05 at iteration 100 is stored, asked for "):
        file.reconstruct(100, 0.10)


def test_the_future_is_refused() -> None:
    with pytest.raises(UserError, match="an EMA at time 301 needs a snapshot from then on"):
        example().reconstruct(301, 0.05)


def check_refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_snapshots(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_files_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    assert "not a readable safetensors file" in check_refused(path)
    assert "not a readable safetensors file" in check_refused(tmp_path)
    example().save(path, torch.float32)
    whole = path.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "not a readable safetensors file" in check_refused(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    check_refused(path)


def header(**changed: str | None) -> dict[str, str]:
    whole: dict[str, str | None] = {
        "format": "guidebench-snapshots-1",
        "architecture": "fractal",
        "config": "{}",
        "snapshots": '[{"iteration": 1, "ema": 0.05}]',
    }
    return {k: v for k, v in (whole | changed).items() if v is not None}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": "guidebench-snapshots-2"}, "has format guidebench-snapshots-2, this version r"),
        ({"format": None}, "has format None, this version reads guidebench-snapshots-1"),
        ({"architecture": None}, "is not whole"),
        ({"config": "{"}, "is not whole"),
        ({"snapshots": None}, "is not whole"),
        ({"snapshots": "[1]"}, "is not whole"),
        ({"snapshots": '[{"iteration": 1}]'}, "is not whole"),
    ],
)
def test_other_headers_are_refused(tmp_path: Path, changed: Any, reason: str) -> None:  # noqa: ANN401
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"a": torch.zeros(1, 2)}, header()))
    assert load_snapshots(path).snapshots == (Snapshot(1, 0.05),)
    path.write_bytes(save({"a": torch.zeros(1, 2)}, header(**changed)))
    assert reason in check_refused(path)
