"""guidebench checkpoint fetch, against a server on this machine."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from guidebench.base import sha256_file
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.checkpoints.posthoc_ema import coefficients
from guidebench.cli import main
from tests.checkpoints.http_server import Fault, FileServer
from tests.checkpoints.legacy_pickle import corpus, official
from tests.cli.conftest import Command, entry_point

NETWORK = "edm2-img64-s-1073741-0.075"
UNLISTED = "edm2-img64-s-1073741-0.030"
SUITE = f"""
from guidebench.guidance.catalog import none
from guidebench.runs.spec import CheckpointRef, RunSpec
from guidebench.sampling import deterministic_heun

def row(metric="fid", network="{NETWORK}", reference="img64") -> RunSpec:
    return RunSpec(
        title="row", role="table", domain="images", source="sampler",
        networks={{"main": CheckpointRef(checkpoint=network)}}, reference=reference,
        scheme=none(), sampler=deterministic_heun(32, sigma_max=80.0), num_images=50000,
        first_seed=0, repeats=1, shard_size=64, batch_size=32, metrics=(metric,),
        engine="eager", precision="fp32", device="cpu",
    )

def latent() -> RunSpec:
    return row("fd_dinov2", "edm2-img512-xs-2147483-0.200", "own/img512.safetensors")
"""
VAE = {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"weights" * 30_000}


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in VAE.items():
        (folder / name).write_bytes(content)
    (folder / f"{NETWORK}.pkl").write_bytes(b"network" * 9)
    (folder / "img64.pkl").write_bytes(b"reference" * 9)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("cache")
def test_a_dry_run_prints_sizes_and_touches_nothing(command: Command, tmp_path: Path) -> None:
    words = ("checkpoint", "fetch", NETWORK, "img64", "inception", "sd-vae-ft-mse", "--dry-run")
    ran = command(*words, PYTHONPROFILEIMPORTTIME="1")
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert [line[:5] for line in lines[:4]] == [
        [NETWORK, "network", "missing", "~561", "MB"],
        ["img64", "reference", "missing", "~42", "MB"],
        ["inception", "features", "missing", "96", "MB"],
        ["sd-vae-ft-mse", "vae", "missing", "~335", "MB"],
    ]
    assert ran.stdout.splitlines()[4] == "to download: 5 files, ~1.0 GB"
    imported = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines()}
    assert "guidebench.checkpoints.catalog" in imported
    assert not imported & {"torch", "requests", "pooch"}
    assert list(tmp_path.iterdir()) == []


def test_fetched_once_then_present(command: Command, served: Path, cache: Path) -> None:
    with FileServer(served) as server:
        first = command("checkpoint", "fetch", "sd-vae-ft-mse", GUIDEBENCH_MIRROR=server.url)
        assert first.returncode == 0, first.stderr
        again = command("checkpoint", "fetch", "sd-vae-ft-mse", GUIDEBENCH_MIRROR=server.url)
        assert len(server.answers) == 2
    folder = cache / "weights" / "sd-vae-ft-mse"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == VAE
    assert f"sd-vae-ft-mse: {folder}" in first.stdout
    assert first.stderr.count("licence MIT") == 1
    assert again.returncode == 0
    assert again.stdout.split()[:3] == ["sd-vae-ft-mse", "vae", "present"]
    assert again.stderr == ""
    seen = json.loads((cache / "guidebench.lock.json").read_text())
    assert {key: entry["sha256"] for key, entry in seen.items()} == {
        f"weights/sd-vae-ft-mse/{p.name}": sha256_file(p) for p in folder.iterdir()
    }


def test_four_commands_at_once(served: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer(served, pause_s=0.05) as server:
        monkeypatch.setenv("GUIDEBENCH_MIRROR", server.url)
        words = [entry_point(), "checkpoint", "fetch", "sd-vae-ft-mse"]
        started = [
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        outputs = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0] * 4, outputs
        assert len(server.answers) == 2
    folder = cache / "weights" / "sd-vae-ft-mse"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == VAE


@pytest.mark.usefixtures("cache")
def test_a_suite_names_what_its_rows_need(inline: Command, tmp_path: Path) -> None:
    suite = tmp_path / "mine.py"
    suite.write_text(SUITE)
    ran = inline("checkpoint", "fetch", "--suite", suite, "--suite", "fractal", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    *lines, total = ran.stdout.splitlines()
    names = [line.split()[0] for line in lines]
    latent = ["edm2-img512-xs-2147483-0.200", "dinov2-vitl14", "sd-vae-ft-mse"]
    assert names == [NETWORK, "img64", "inception", *latent]
    assert total == "to download: 7 files, ~2.5 GB"
    one = inline("checkpoint", "fetch", "img64", "--suite", f"{suite}::latent", "--dry-run")
    assert [line.split()[0] for line in one.stdout.splitlines()[:-1]] == ["img64", *latent]
    none = inline("checkpoint", "fetch", "--suite", "fractal")
    assert (none.returncode, none.stdout) == (0, "fractal: needs no published file\n")


def check_refused(command: Command, *words: str, said: str, **environment: str) -> None:
    ran = command("checkpoint", "fetch", *words, **environment)
    assert ran.returncode == 2, ran.stderr
    errors = [line for line in ran.stderr.splitlines() if line.startswith("guidebench checkpoint:")]
    assert len(errors) == 1
    assert ran.stderr.splitlines()[-1] == errors[0]
    assert said in errors[0]


def test_what_is_refused(inline: Command, served: Path, cache: Path) -> None:
    check_refused(inline, said="nothing was asked for; give names")
    check_refused(inline, "img46", said="unknown file img46; did you mean img64?")
    check_refused(inline, "--suite", "fractl", said="unknown suite fractl; did you mean fractal?")
    check_refused(
        inline, "img64", said=f"place it at {cache}/downloads/img64.pkl", GUIDEBENCH_OFFLINE="1"
    )
    fake = served / "weights-inception-2015-12-05-6726825d.pth"
    fake.write_bytes(b"not it")
    folder = {"GUIDEBENCH_MIRROR": str(served)}
    digest = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    check_refused(inline, "inception", said=f"expected {digest}", **folder)
    check_refused(inline, "dinov2-vitl14", said="GUIDEBENCH_MIRROR=", **folder)
    with FileServer(served, [Fault(status=404)]) as server:
        mirror = {"GUIDEBENCH_MIRROR": server.url}
        check_refused(inline, NETWORK, said="is not there (HTTP 404)", **mirror)
        check_refused(inline, "inception", said="has 6 bytes, expected 95628359", **mirror)
    assert not [p for p in cache.rglob("*") if p.is_file() and p.parent.name == "weights"]


def test_a_page_in_the_place_of_a_file_can_be_got_rid_of(
    inline: Command, served: Path, cache: Path
) -> None:
    """What a server said with HTTP 200 is trusted on first use, until it is read."""
    page, mirror = served / f"{NETWORK}.pkl", {"GUIDEBENCH_MIRROR": str(served)}
    page.write_bytes(b"<html>Please log in</html>")
    for _ in range(2):
        ran = inline("checkpoint", "fetch", NETWORK, **mirror)
        (line,) = [x for x in ran.stderr.splitlines() if x.startswith("guidebench checkpoint:")]
        assert ran.returncode == 2
        assert "opcode 0x3c at byte 0 is not allowed" in line
        assert f"delete it and its entry in {cache}/guidebench.lock.json, and fetch" in line
    assert not (cache / "networks").exists()
    (cache / "downloads" / page.name).unlink()
    (cache / "guidebench.lock.json").unlink()
    page.write_bytes(corpus.good())
    ran = inline("checkpoint", "fetch", NETWORK, **mirror)
    assert ran.returncode == 0, ran.stderr


def test_a_disk_without_room_for_the_conversion_is_no_fault_of_the_file(
    inline: Command, served: Path, cache: Path
) -> None:
    mirror = {"GUIDEBENCH_MIRROR": str(served)}
    (served / f"{NETWORK}.pkl").write_bytes(corpus.good())
    (cache / "networks").parent.mkdir()
    (cache / "networks").write_bytes(b"")
    ran = inline("checkpoint", "fetch", NETWORK, **mirror)
    assert ran.returncode == 2
    (line,) = [x for x in ran.stderr.splitlines() if x.startswith("guidebench checkpoint:")]
    assert line.endswith("name another folder by GUIDEBENCH_CACHE or make room there")
    (cache / "networks").unlink()
    assert inline("checkpoint", "fetch", NETWORK, **mirror).returncode == 0


def test_an_unlisted_network_says_how_to_make_it_after_the_rest(
    inline: Command, served: Path, cache: Path
) -> None:
    words, folder = (UNLISTED, "sd-vae-ft-mse"), {"GUIDEBENCH_MIRROR": str(served)}
    check_refused(
        inline, *words, said="raw snapshots (~35.9 GB) in https://nvlabs-fi-cdn.nvidia.com/edm2/"
        "raw-snapshots/edm2-img64-s/ with `guidebench checkpoint ema FOLDER --std 0.030 --kimg "
        "1073741`, or by --reconstruct here", **folder
    )  # fmt: skip
    assert (cache / "weights" / "sd-vae-ft-mse" / "config.json").is_file()


def test_an_unpublished_network_is_made_from_raw_snapshots(
    inline: Command, tmp_path: Path, cache: Path
) -> None:
    """From official pickles at two times, by two lengths; the second call has nothing to do."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, (kimg, ema) in enumerate(product((33554, 67108), ("0.050", "0.100"))):
        network = corpus.small_network()
        network.get_parameter("unet.out_gain").data.fill_(1 + seed)
        data = official.network_bytes(network, corpus.CONFIG)
        (folder / f"edm2-img64-xs-{kimg:07d}-{ema}.pkl").write_bytes(data)
    name, mirror = "edm2-img64-xs-0067108-0.070", {"GUIDEBENCH_MIRROR": str(folder)}
    words = ("checkpoint", "fetch", name, "--reconstruct")
    last = folder / "edm2-img64-xs-0067108-0.100.pkl"
    kept = last.rename(tmp_path / "kept.pkl")
    broken = inline(*words, **mirror)
    assert (broken.returncode, last.name in broken.stderr) == (2, True)
    assert len(list((cache / "snapshots").rglob("*.safetensors"))) == 3
    kept.rename(last)
    ran = inline(*words, **mirror)
    assert ran.returncode == 0, ran.stderr
    assert "4 raw snapshots, 1 of them to download" in ran.stderr
    header = NetworkFile.load(cache / "networks" / f"{name}.safetensors").header
    assert (header.ema, header.num_images) == (0.07, 1 << 26)
    assert [source.file for source in header.sources] == sorted(p.name for p in folder.iterdir())
    assert not list((cache / "downloads").rglob("*.pkl"))
    pairs = [(float(t), s) for t in (1 << 25, 1 << 26) for s in (0.05, 0.1)]
    weights = coefficients(pairs, [(float(1 << 26), 0.07)])[:, 0]
    made = NetworkFile.load(cache / "networks" / f"{name}.safetensors").tensors["unet.out_gain"]
    assert float(made) == pytest.approx(float(weights @ [1, 2, 3, 4]), rel=1e-3)
    again = inline(*words, GUIDEBENCH_OFFLINE="1")
    assert (again.returncode, "present" in again.stdout) == (0, True)


def test_too_small_a_disk_is_told_before_the_first_byte(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    assert main(["checkpoint", "fetch", NETWORK]) == 2
    assert f"{cache} needs ~1.1 GB and has 1.0 GB free; make room" in capsys.readouterr().err
    assert not cache.exists()


def test_published_pickles_are_converted(
    served: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the conversion is given; it has tests of its own."""
    calls: list[tuple[object, ...]] = []

    def convert(source: Path, path: Path, *more: object) -> None:
        calls.append((source, path, *more))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"converted")

    conversion = ModuleType("guidebench.runs.conversion")
    monkeypatch.setattr(conversion, "convert_network", convert, raising=False)
    monkeypatch.setattr(conversion, "import_reference", convert, raising=False)
    monkeypatch.setitem(sys.modules, conversion.__name__, conversion)
    monkeypatch.setenv("GUIDEBENCH_MIRROR", str(served))
    (cache / "downloads").mkdir(parents=True)
    by_hand = cache / "downloads" / "img64.pkl"
    by_hand.write_bytes((served / "img64.pkl").read_bytes())
    assert main(["checkpoint", "fetch", NETWORK, "img64"]) == 0
    assert main(["checkpoint", "fetch", NETWORK, "img64"]) == 0
    pickle = cache / "downloads" / f"{NETWORK}.pkl"
    assert calls == [
        (pickle, cache / "networks" / f"{NETWORK}.safetensors", sha256_file(pickle)),
        (by_hand, cache / "references" / "img64.safetensors"),
    ]
    seen = json.loads((cache / "guidebench.lock.json").read_text())
    assert {key: entry["via"] for key, entry in seen.items()} == {
        "downloads/img64.pkl": "hand",
        f"downloads/{NETWORK}.pkl": "folder",
    }
    out = capsys.readouterr().out
    assert f"{NETWORK}  network    present" in out
