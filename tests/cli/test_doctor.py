"""guidebench doctor: what is here, what is missing, how fast the machine is."""

import json
from pathlib import Path
from typing import Final, Literal

import pytest
import torch

from guidebench.measure.nvml import Gpu
from guidebench.runs import health, roofline
from guidebench.runs.catalog import SUITES, select
from guidebench.runs.inventory import Inventory, Item
from tests.cli.conftest import SUITE, Command
from tests.measure.test_nvml import NvidiaModule

STATES: Final[tuple[tuple[str, Literal["present", "downloaded", "missing"]], ...]] = (
    ("a", "present"), ("b", "downloaded"), ("c", "missing"),
)  # fmt: skip


def test_says_what_is_here_and_what_each_suite_lacks(inline: Command, tmp_path: Path) -> None:
    ran = inline("doctor", GUIDEBENCH_CACHE=str(tmp_path / "none"))
    assert (ran.returncode, ran.stderr) == (0, "")
    for text in ("torch", "cores for this process", "GPU", "✓ fractal", "✓ digits", "rows ready"):
        assert text in ran.stdout
    assert f"{tmp_path / 'none'}, " in ran.stdout
    assert "✗ table1-img64" in ran.stdout
    assert "files are not here, about" in ran.stdout
    assert "→ guidebench checkpoint fetch --suite table1-img64" in ran.stdout
    assert not (tmp_path / "none").exists(), "it only looks"


def test_answers_for_suites_by_its_exit_code(inline: Command, tmp_path: Path) -> None:
    empty = {"GUIDEBENCH_CACHE": str(tmp_path)}
    assert inline("doctor", "fractal", f"{SUITE}::unguided").returncode == 0
    assert inline("doctor", "fractal", "fig3", **empty).returncode == 1
    ran = inline("doctor", "fratcal")
    assert ran.returncode == 2
    assert "did you mean fractal?" in ran.stderr


def test_json_is_for_scripts(inline: Command, tmp_path: Path) -> None:
    found = json.loads(inline("doctor", "--json", GUIDEBENCH_CACHE=str(tmp_path)).stdout)
    assert [s["name"] for s in found["suites"]] == list(SUITES)
    states = {f["name"]: f["state"] for f in found["suites"]}
    assert (states["digits"], states["fig3"]) == ("ok", "missing")
    assert {f["name"] for f in found["machine"]} >= {"guidebench", "processor", "cache"}


def test_missing_packages_are_named_with_the_way_to_get_them(
    inline: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_IMAGE_PACKAGES", ("timm", "no_such_package"))
    ran = inline("doctor", "fractal", "fig3", GUIDEBENCH_CACHE=str(tmp_path))
    assert "✗ images      not installed: no_such_package" in ran.stdout
    assert "✓ fractal" in ran.stdout
    assert "needs the packages no_such_package; " in ran.stdout
    assert "→ pip install 'guidebench[images]'; guidebench checkpoint fetch" in ran.stdout


def test_files_that_wait_to_be_converted_are_told_from_missing_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = {name: Item(name, "network", state, 1 << 30, exact=True) for name, state in STATES}
    rows = select(["fig3"])
    of_row: dict[str, tuple[str, ...]] = {row.label: ("a", "b") for row in rows}
    of_row[rows[0].label] = ("a",)
    monkeypatch.setattr(health, "inventory", lambda _: Inventory(items, of_row))
    found = health.suite_finding("fig3")
    assert found.state == "missing"
    assert found.text == (
        "1 of 3 files are not here, 1.0 GiB; 1 of 3 files are downloaded, not yet converted "
        f"(1 of {len(rows)} rows have theirs)"
    )
    assert found.remedy == "guidebench checkpoint fetch --suite fig3"


def test_a_cache_that_cannot_be_written_is_said(
    inline: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    ran = inline("doctor", "fractal", GUIDEBENCH_CACHE=str(tmp_path))
    assert "free, not writable" in ran.stdout
    assert "→ GUIDEBENCH_CACHE=DIR names another" in ran.stdout


def test_says_of_the_compiler_what_engine_compiled_would_say(inline: Command) -> None:
    ran = inline("doctor", "fractal", CXX="no-such-compiler", CC="no-such-compiler")
    (line,) = [text for text in ran.stdout.splitlines() if "compiler " in text]
    assert line.startswith("  - compiler")
    assert "is not here; --engine compiled falls back without it" in line
    assert ran.returncode == 0


def test_a_gpu_is_described_as_far_as_nvml_tells() -> None:
    words = health.nvml_words("1234", NvidiaModule())
    assert words == "driver 570.86.15, 68 W now, energy counter"
    words = health.nvml_words("1234", NvidiaModule(lacks=("energy",)))
    assert words.endswith("68 W now, NVML does not tell the energy used: Not Supported")
    words = health.nvml_words("1234", NvidiaModule(lacks=("library",)))
    assert words.startswith("energy and device-wide memory are not measured: NVML cannot be used")
    assert Gpu("1234", NvidiaModule()).uuid == "GPU-1234"


def test_bench_shows_the_roofline_beside_what_networks_reach(
    inline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small sizes: here to be right, not to be fast."""
    monkeypatch.setattr("guidebench.measure.roofline._SIZES", (64, 128))
    monkeypatch.setattr("guidebench.measure.roofline._COPIED_BYTES", {"cpu": 1 << 20})
    monkeypatch.setattr(roofline, "_REPEATS", 2)
    monkeypatch.setattr(roofline, "builtin_networks", lambda: ("digits-main", "fractal-guide"))
    threads = torch.get_num_threads()
    ran = inline("doctor", "fractal", "--bench")
    assert ran.returncode == 0, ran.stderr
    assert torch.get_num_threads() == threads
    for text in ("peaks of cpu", "fp32", "bf16", "memory: ", "FLOP/byte", "fractal-guide", "%"):
        assert text in ran.stdout
    assert "A multiply-add is two operations" in ran.stdout
    found = json.loads(inline("doctor", "fractal", "--bench", "--json").stdout)
    assert found["bytes_per_second"] > 1e6
    assert {p["precision"] for p in found["peaks"]} == {"fp32", "fp16", "bf16"}
    for row in found["networks"]:
        assert 0 < row["fraction_of_peak"] < 100
        assert row["flops"] > 0
    ones = [r for r in found["networks"] if r["batch"] == 1]
    many = [r for r in found["networks"] if r["batch"] == 256]
    assert [m["flops"] / o["flops"] for o, m in zip(ones, many, strict=True)] == pytest.approx(
        [256, 256], rel=0.01
    )
