"""guidebench sample: a set alone, the same samples as a run's, measured as any other images."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidebench.base import host_id
from guidebench.base.files import PARTIAL
from guidebench.reports.store import load_record
from tests.cli.conftest import Command

ROW = "digits::none"
SMALL = ("--num", 40, "--seeds", 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digits, drawn through the installed command."""
    from tests.cli.conftest import run_command  # noqa: PLC0415

    out = tmp_path_factory.mktemp("samples") / "digits"
    ran = run_command("sample", ROW, *SMALL, "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{out}: 40 samples of {ROW}\n"
    return out


def pictures(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.png"))}


def test_a_killed_folder_goes_on_with_the_same_bits(
    folder: Path, tmp_path: Path, inline: Command
) -> None:
    whole = pictures(folder)
    assert list(whole) == [f"{seed:010d}.png" for seed in range(7, 47)]
    cut = Path(shutil.copytree(folder, tmp_path / "cut"))
    for name in list(whole)[5:]:
        (cut / name).unlink()
    assert inline("sample", ROW, *SMALL, "--out", cut).returncode == 0
    assert pictures(cut) == whole


def test_what_a_killed_archive_left_is_cleared_away(tmp_path: Path, inline: Command) -> None:
    """A living writer's file stays."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f".a.npz.{host_id()}.{ended.pid}.0123abcd{PARTIAL}"
    alive = tmp_path / f".b.npz.{host_id()}.{os.getppid()}.0123abcd{PARTIAL}"
    dead.touch()
    alive.touch()
    assert inline("sample", ROW, "--num", 4, "--out", tmp_path / "a.npz").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", alive.name}


def test_archives_hold_the_folders_images(folder: Path, tmp_path: Path, inline: Command) -> None:
    for name in ("a.zip", "b.zip", "a.npz"):
        assert inline("sample", ROW, *SMALL, "--out", tmp_path / name).returncode == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        found = {n: archive.read(n) for n in archive.namelist() if n.endswith(".png")}
    assert found == pictures(folder)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        for image, path in zip(file["arr_0"], sorted(folder.glob("*.png")), strict=True):
            np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(path)))
        assert file["arr_1"].shape == (40,)


def test_a_run_and_its_samples_measure_the_same(tmp_path: Path, inline: Command) -> None:
    """The set drawn alone, the run's own folder, and the run's record agree to the digit."""
    cache = {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    row, out = "digits::none", tmp_path / "out"
    assert inline("run", row, "--num", 64, "--out", out, "--ranks", 1).returncode == 0
    (run_folder,) = (p.parent for p in out.rglob("record.json"))
    recorded = load_record(run_folder).record.metrics["fd_digits"]

    assert inline("sample", row, "--num", 64, "--out", tmp_path / "set.npz").returncode == 0
    real = inline("sample", "digits::real", "--num", 8, "--out", tmp_path / "real.npz")
    assert (real.returncode, "has no sampler" in real.stderr) == (2, True)
    digits_png(tmp_path / "real")
    made = inline("reference", "build", tmp_path / "real", "--metrics", "fd:digits",
                  "--workers", 0, **cache)  # fmt: skip
    assert made.returncode == 0, made.stderr
    for name, images in (("set", tmp_path / "set.npz"), ("run", run_folder)):
        ran = inline("measure", images, "--reference", "real", "--metrics", "fd:digits",
                     "--workers", 0, "--out", tmp_path / name, **cache)  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert "without its bias (20 jackknife blocks)" in ran.stdout
        found = load_record(tmp_path / name).record.metrics["fd:digits"]
        assert found.value == pytest.approx(recorded.value, rel=1e-9)
        assert found.standard_error == pytest.approx(recorded.standard_error, rel=1e-6)
        assert found.corrected is not None
        assert recorded.corrected is not None
        assert found.corrected.value == pytest.approx(recorded.corrected.value, rel=1e-6)


def digits_png(folder: Path) -> None:
    from guidebench.data.digits import load_digits  # noqa: PLC0415

    folder.mkdir()
    for place, image in enumerate(load_digits().images_NHW):
        Image.fromarray(image).save(folder / f"{place:04d}.png")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((ROW, "--out", "OUT/x.tar"), "ends in .tar; name a folder (no suffix), a .zip or an .npz"),
        (("digits", "--out", "OUT/x"), "rows; name one, as in digits::real"),
        (("fractal::none", "--num", "8", "--out", "OUT/x"), "no pictures; name an .npz"),
        ((ROW, "--num", "1", "--out", "OUT/x"), "--num must be at least 2, got 1"),
        ((ROW, "--num", "8", "--out", "OUT"), "holds something else than digits::none"),
    ],
)
def test_bad_questions_are_one_sentence(
    inline: Command, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    ran = inline("sample", *(w.replace("OUT", str(tmp_path)) for w in words))
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_points_are_kept_as_numbers(inline: Command, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    assert inline("sample", "fractal::none", "--num", 16, "--out", out).returncode == 0
    with np.load(out, allow_pickle=False) as file:
        assert file["arr_0"].shape == (16, 2)
    taken = inline("sample", "fractal::none", "--num", 16, "--out", out)
    assert (taken.returncode, "is there already" in taken.stderr) == (2, True)
