"""guidebench list rows --suite: what is here, what is missing, and how large."""

import json
import re
from pathlib import Path

import pytest
import torch

from guidebench.checkpoints.cache import network_path, reference_path, weights_path
from guidebench.checkpoints.network_file import EncoderInfo, NetworkFile, NetworkHeader
from guidebench.runs.catalog import load_suite
from tests.cli.conftest import Command

MAIN, UNLISTED = "edm2-img512-s-2147483-0.130", "edm2-img512-s-uncond-2147483-0.145"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path))
    return tmp_path


def place(path: Path, size: int = 30_000_000) -> None:
    """A file of that size that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def place_what_the_first_row_needs() -> None:
    encoder = EncoderInfo(kind="stability-vae")
    header = NetworkHeader(architecture="edm2", config={}, encoder=encoder, ema=0.13,
                           num_images=1 << 31, sources=())  # fmt: skip
    NetworkFile(header, {"weight": torch.zeros(15_000_000).half()}).save(network_path(MAIN))
    place(reference_path("img512"))
    place(weights_path("inception"))
    place(weights_path("dinov2-vitl14"))
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        place(weights_path("sd-vae-ft-mse") / name)


def test_every_row_of_table_1_with_its_value_and_files(inline: Command) -> None:
    place_what_the_first_row_needs()
    ran = inline("list", "rows", "--suite", "table1-img512")
    assert ran.returncode == 0, ran.stderr
    rows, files, total = ran.stdout.split("\n\n")
    for line, row in zip(rows.splitlines(), load_suite("table1-img512"), strict=True):
        ((metric, published),) = row.spec.published.items()
        assert line.startswith(f"{row.label} ")
        assert line.endswith(f"published {metric} {published.value:g}")
    assert re.search(r"edm2-s-none-fid +ready ", rows)
    assert re.search(r"edm2-s-none-fd-dinov2 +missing 1, ~561 MB ", rows)
    assert re.search(r"edm2-xxl-autoguidance-fid +missing 2, ~4.0 GB ", rows)
    assert re.search(rf"^{MAIN} +network +present +30 MB$", files, re.MULTILINE)
    assert re.search(
        rf"^{UNLISTED} +network +missing +~561 MB  if not published: from 128 snapshots, ~71.8 GB, "
        r"https://\S+/raw-snapshots/edm2-img512-s-uncond/$", files, re.MULTILINE,
    )  # fmt: skip
    assert re.match(r"33 of 38 files are missing, ~28.4 GB, 0 to convert; `guidebench ch", total)
    assert re.search(r"12 of them may not be published; --reconstruct makes those", total)


def test_what_is_downloaded_but_not_converted_is_not_ready(inline: Command, cache: Path) -> None:
    place_what_the_first_row_needs()
    network_path(MAIN).unlink()
    place(cache / "downloads" / f"{MAIN}.pkl")
    words = ("list", "rows", "--suite", "table1-img512::edm2-s-none-fid")
    ran = inline(*words)
    assert "edm2-s-none-fid  to convert 1 " in ran.stdout
    assert "0 of 5 files are missing, 0.0 MB, 1 to convert; " in ran.stdout
    told = json.loads(inline(*words, "--json").stdout)
    (row,) = told["rows"]
    assert row["published"]["fid"]["value"] == 2.56
    assert row["published"]["fid"]["source"] == "arXiv:2406.02507, Table 1"
    assert row["files"] == [MAIN, "img512", "inception", "dinov2-vitl14", "sd-vae-ft-mse"]
    assert [(f["name"], f["state"]) for f in told["files"]] == [
        (name, "downloaded" if name == MAIN else "present") for name in row["files"]
    ]


def test_a_suite_belongs_to_rows(inline: Command) -> None:
    ran = inline("list", "networks", "--suite", "fig3")
    assert (ran.returncode, "--suite belongs to `list rows`" in ran.stderr) == (2, True)
