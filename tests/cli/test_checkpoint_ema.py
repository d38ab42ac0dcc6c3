"""guidebench checkpoint ema, through the installed entry point."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from guidebench.checkpoints.network_file import NetworkFile
from tests.checkpoints import snapshots as simulated
from tests.cli.conftest import Command, entry_point

EVERY, COUNT = 32, 6
RUN = simulated.RUN
KIMG = EVERY * COUNT * simulated.BATCH // 1000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    (folder / "held").mkdir()
    paths = simulated.train(folder, (0.05, 0.1), every=EVERY, count=COUNT, held_out=0.15)
    paths[-1].rename(folder / "held" / paths[-1].name)
    return folder


def test_lengths_and_times_are_made_where_rows_look(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    held = next((trained / "held").iterdir())
    words = ("checkpoint", "ema", trained, "--std", "0.045,0.15", "--kimg", f"262,{KIMG}")
    ran = command(*words, "--held-out", held, GUIDEBENCH_CACHE=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    names = {f"{RUN}-{k:07d}-{s}.safetensors" for k in (262, KIMG) for s in ("0.045", "0.150")}
    folder = tmp_path / "networks"
    assert {path.name for path in folder.iterdir()} == names
    file = NetworkFile.load(folder / f"{RUN}-0000262-0.045.safetensors")
    assert file.header.num_images == EVERY * 4 * simulated.BATCH
    assert {value.dtype for value in file.tensors.values()} >= {torch.float16}
    assert f"snapshots {2 * COUNT}/{2 * COUNT}" in ran.stderr
    error = re.search(r"held out: relative error of the weights (\S+) ", ran.stdout)
    assert error is not None
    assert 0 < float(error[1]) < 0.01
    assert ran.stdout.count("relative error of its profile") == 5

    again = command(*words, GUIDEBENCH_CACHE=str(tmp_path))
    assert again.stdout.count("is made already") == 4
    assert "not measured: --held-out" in again.stdout


def test_what_is_in_the_way_is_kept(inline: Command, trained: Path, tmp_path: Path) -> None:
    words = ("checkpoint", "ema", trained, "--std", "0.1", "--out", tmp_path)
    assert inline(*words).returncode == 0
    (made,) = tmp_path.iterdir()
    before = made.read_bytes()
    other = inline(*words, "--dtype", "fp32")
    assert other.returncode == 2
    assert "is not the fp32 average" in other.stderr
    assert made.read_bytes() == before
    assert inline(*words, "--dtype", "fp32", "--force").returncode == 0
    assert len(made.read_bytes()) > 1.5 * len(before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--std", "abc"), "expected numbers between commas"),
        (("--std", "0.1", "--kimg", "1.5"), "expected whole numbers between commas"),
        (("--std", "0.4"), "an EMA length lies between 0 and 0.2887"),
        (("--std", "0.1", "--kimg", "999999"), "the last is at"),
        (("--std", "0.1", "--held-out", "none.safetensors"), "none.safetensors"),
    ],
)
def test_bad_input_is_one_sentence(
    inline: Command, trained: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    ran = inline("checkpoint", "ema", trained, *words, "--out", tmp_path / "out")
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_killed_reconstruction_leaves_nothing_half_written(trained: Path, tmp_path: Path) -> None:
    words = [entry_point(), "checkpoint", "ema", str(trained), "--std", "0.1", "--out"]
    for wait in (0.5, 1.5, 2.5):
        out = tmp_path / str(wait)
        started = subprocess.Popen([*words, str(out)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=os.environ)  # fmt: skip
        time.sleep(wait)
        started.send_signal(signal.SIGKILL)
        started.wait()
        for path in out.glob("*.safetensors"):
            assert NetworkFile.load(path).header.ema == 0.1
