"""Memory and seconds of converting snapshots of EDM2-M's size, 1 GB, and EDM2-XXL's, 3 GB.

Each in a process of its own:
`pytest -m slow -s tests/checkpoints/legacy_pickle/test_memory.py` prints both.
"""

import json
import pickletools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from guidebench.base import sha256_file
from guidebench.checkpoints.legacy_pickle.opcodes import MOST_OPCODES
from guidebench.networks import EDM2Denoiser
from tests.checkpoints.legacy_pickle import official

GB = 1_000_000_000
CHILD = """
import json, re, sys, time
from pathlib import Path
from guidebench.runs.conversion import convert_network
def peak_bytes():  # ru_maxrss would also count the process that started this one
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak_bytes()
began = time.perf_counter()
convert_network(Path(sys.argv[1]), Path(sys.argv[2]))
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "imports_bytes": before}))
"""


def written(path: Path, channels: int) -> None:
    """A snapshot with random weights, made in float16 at once."""
    config = {"img_resolution": 64, "img_channels": 4, "label_dim": 1000,
              "model_channels": channels}  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        network = EDM2Denoiser(**config)
    finally:
        torch.set_default_dtype(before)
    official.write_network_pickle(path, network, config, "stability-vae")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "channels", "expected"), [("m", 256, 1.0), ("xxl", 448, 3.05)])
def test_a_snapshot_takes_its_size_and_less_than_a_gigabyte_more(
    tmp_path: Path, name: str, channels: int, expected: float
) -> None:
    path, out = (
        tmp_path / f"edm2-img512-{name}-0268435-0.155.pkl",
        tmp_path / "out.safetensors",
    )
    written(path, channels)
    size = path.stat().st_size
    ran = subprocess.run([sys.executable, "-c", CHILD, str(path), str(out)], check=True,
                         capture_output=True, text=True, timeout=1000)  # fmt: skip
    found = json.loads(ran.stdout)
    opcodes = sum(1 for _ in pickletools.genops(path.read_bytes()))
    print(f"\n{size:,} bytes, {opcodes:,} opcodes: {found['seconds']:.1f} s, "
          f"peak {found['peak_bytes']:,} bytes, of which imports {found['imports_bytes']:,}; "
          f"sha256 {sha256_file(out)[:12]}")  # fmt: skip
    assert size == pytest.approx(expected * GB, rel=0.01)
    assert found["peak_bytes"] < size + GB
    assert opcodes < MOST_OPCODES / 4
