"""guidebench measure, compare and reference, through the installed entry point and in process."""

import pickle
import re
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from guidebench.base import UserError
from guidebench.data.digits import load_digits
from guidebench.metrics import GaussianReference, frechet
from guidebench.metrics.features import load_extractor
from guidebench.metrics.images import open_images
from guidebench.metrics.reference import ReferenceFile, Statistics
from guidebench.reports.page_rows import repeat_command
from guidebench.reports.store import load_record
from guidebench.runs import against, measurement
from tests.cli.conftest import Command

FEATURES = "untrained:dinov2-vits14"
METRIC = f"fd:{FEATURES}"


def crops(num: int, seed: int, noise: float) -> NDArray[np.uint8]:
    """Crops of scikit-learn's photographs; equal seeds give equal places."""
    photographs = load_sample_images().images
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num):
        photograph = photographs[rng.integers(2)]
        y, x = rng.integers(0, 427 - 64), rng.integers(0, 640 - 64)
        grain = noise * rng.normal(size=(64, 64, 3))
        found.append((photograph[y : y + 64, x : x + 64] + grain).clip(0, 255).astype(np.uint8))
    return np.stack(found)


def folder_of(images: NDArray[np.uint8], folder: Path) -> Path:
    folder.mkdir()
    for place, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{place:03d}.png")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real crops, and two sets of noisy ones at common places, one of them a zip."""
    root = tmp_path_factory.mktemp("sets")
    folder_of(crops(24, 0, 0.0), root / "real")
    folder_of(crops(18, 1, 8.0), root / "fine")
    noisy = folder_of(crops(18, 1, 30.0), root / "noisy")
    with zipfile.ZipFile(root / "noisy.zip", "w") as archive:
        for path in noisy.iterdir():
            archive.write(path, path.name)
    return root


def test_photographs_are_measured_and_compared(
    command: Command, inline: Command, sets: Path, tmp_path: Path
) -> None:
    """The value is that of features taken by hand; the pair is told apart."""
    for name, way in (("fine", inline), ("noisy.zip", command)):
        ran = way("measure", sets / name, "--reference", sets / "real", "--metrics",
                  f"{METRIC},copies:{FEATURES}", "--out", tmp_path / name)  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert "untrained features" in ran.stdout
        assert "without its bias" not in ran.stdout  # too few images for blocks
    extractor = load_extractor(FEATURES, None, device=torch.device("cpu"))
    real, noisy = (
        extractor.extract(np.stack([source.read(i) for i in range(len(source))]))
        for source in (open_images(sets / "real"), open_images(sets / "noisy"))
    )
    literal = frechet(noisy, GaussianReference.from_features(real, name="real"))
    found = load_record(tmp_path / "noisy.zip").record.metrics[METRIC]
    assert found.value == pytest.approx(literal.value, rel=1e-6)
    assert found.standard_error == pytest.approx(literal.standard_error, rel=1e-5)
    assert found.features is not None
    assert not found.features.comparable

    compared = inline("compare", tmp_path / "noisy.zip", tmp_path / "fine")
    assert compared.returncode == 0, compared.stderr
    assert f"{METRIC}  " in compared.stdout
    assert "paired in order of images" in compared.stdout  # which seeds, nobody knows
    same = inline("compare", tmp_path / "fine", tmp_path / "fine")
    assert "none seen" in same.stdout


def rounded() -> bool:
    """Whether torch may round fp32 convolutions on a GPU now; makes its own default so again."""
    found, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, True
    return bool(found)


def test_the_command_of_a_record_repeats_it(
    inline: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed where the images lie, beside the first record: the same metrics, the same numbers."""
    monkeypatch.chdir(tmp_path)
    digits_N88 = load_digits().images_NHW
    folder_of(digits_N88[:60], Path("real"))
    folder_of(digits_N88[60:100], Path("fine"))
    asked = "fd:digits,precision_recall:digits,copies:digits"
    words = ("measure", "fine", "--reference", "real", "--metrics", asked, "--workers", 0)
    assert inline(*words).returncode == 0
    first = load_record(Path("results/measured/fine")).record
    ran = inline(*shlex.split(repeat_command(first))[1:], "--workers", 0)
    assert ran.returncode == 0, ran.stderr
    again = load_record(Path("results/measured-again/fine")).record
    assert len(first.metrics) == 4
    assert (again.metrics, again.spec_sha256) == (first.metrics, first.spec_sha256)


def test_a_reference_is_built_once_shown_and_used(
    inline: Command, sets: Path, tmp_path: Path
) -> None:
    cache = {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    rounded()
    words = ("reference", "build", sets / "real", "--metrics", METRIC, "--workers", 0)
    ran = inline(*words, **cache)
    assert ran.returncode == 0, ran.stderr
    key = re.search(r"24 images of 64 x 64, key (\w{64})", ran.stdout)
    assert key is not None
    assert not rounded()
    assert "was built from these images already" in inline(*words, **cache).stdout
    taken = inline("reference", "build", sets / "fine", "--name", "real", "--metrics", METRIC,
                   "--workers", 0, **cache)  # fmt: skip
    assert (taken.returncode, "give another --name" in taken.stderr) == (2, True)
    shown = inline("reference", "show", "real", **cache).stdout
    assert key[1] in shown
    assert f"{FEATURES}-" in shown
    assert "real: fd:untrained" in inline("reference", "list", **cache).stdout

    by_name = inline("measure", sets / "fine", "--reference", "real", "--metrics", METRIC,
                     "--workers", 0, "--out", tmp_path / "a", **cache)  # fmt: skip
    assert not rounded()
    assert by_name.returncode == 0, by_name.stderr
    by_folder = inline("measure", sets / "fine", "--reference", sets / "real", "--metrics", METRIC,
                       "--workers", 0, "--out", tmp_path / "b", **cache)  # fmt: skip
    assert by_folder.returncode == 0, by_folder.stderr
    values = [load_record(tmp_path / n).record.metrics[METRIC].value for n in "ab"]
    assert values[0] == pytest.approx(values[1], rel=1e-6)

    shown_by_key = inline("reference", "show", key[1][:10], **cache).stdout
    assert shown_by_key == shown

    other = ReferenceFile.load(tmp_path / "cache" / "references" / "real.safetensors")
    found = other.statistics[METRIC]
    changed = Statistics(found.mean_D, found.cov_DD, found.extractor, "dinov2-of-another-resize")
    ReferenceFile("real", 24, "x", "0", {METRIC: changed}, "0" * 64, (64, 64)).save(
        tmp_path / "changed.safetensors"
    )
    refused = inline("measure", sets / "fine", "--reference", tmp_path / "changed.safetensors",
                     "--metrics", METRIC, "--workers", 0, "--out", tmp_path / "c")  # fmt: skip
    assert refused.returncode == 2
    assert "was made by dinov2-of-another-resize, the metric uses" in refused.stderr
    assert not (tmp_path / "c").exists()


def test_another_resolution_is_refused_with_both(
    inline: Command, sets: Path, tmp_path: Path
) -> None:
    cache = {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    small = folder_of(crops(4, 2, 0.0)[:, ::2, ::2], tmp_path / "small")
    words = ("--metrics", METRIC, "--workers", 0)
    assert inline("reference", "build", small, *words, **cache).returncode == 0
    ran = inline("measure", sets / "fine", "--reference", "small", *words,
                 "--out", tmp_path / "x", **cache)  # fmt: skip
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "small was made of 32 x 32 images, these have 64 x 64 pixels" in ran.stderr
    assert not (tmp_path / "x").exists()


def test_scores_without_real_images(inline: Command, sets: Path, tmp_path: Path) -> None:
    """An Inception score from the cached features; FD-infinity beside the plain distance."""
    ran = inline("measure", sets / "fine", "--reference", sets / "real", "--metrics",
                 f"fd_infinity:{FEATURES}", "--workers", 0, "--out", tmp_path / "a")  # fmt: skip
    assert ran.returncode == 2  # 18 images hold no tenth with a covariance
    assert "holds 18 images, fd_infinity:untrained:dinov2-vits14 needs 20" in ran.stderr
    none = inline("measure", sets / "fine", "--reference", sets / "real", "--metrics",
                  f"is:{FEATURES}", "--workers", 0, "--out", tmp_path / "b")  # fmt: skip
    assert none.returncode == 2
    assert "has no classes, an Inception score needs them; take inception" in none.stderr


@pytest.fixture
def published(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    found = {}
    for metric, extractor, dim in (("fid", "inception", 9), ("fd_dinov2", "dinov2-vitl14", 4)):
        factor = rng.normal(size=(dim, 20))
        found[metric] = Statistics(rng.normal(size=dim), factor @ factor.T, extractor)
    path = tmp_path / "img64.safetensors"
    ReferenceFile("img64", 1281167, "img64.pkl", "0" * 64, found).save(path)
    return path


def test_exported_references_are_read_by_the_tools_they_are_for(
    inline: Command, published: Path, tmp_path: Path
) -> None:
    """EDM2's by plain pickle, EDM's by numpy; and both come back as they were."""
    truth = ReferenceFile.load(published)
    out = tmp_path / "out.pkl"
    assert inline("reference", "export", published, out).returncode == 0
    loaded = pickle.loads(out.read_bytes())
    assert loaded["num_images"] == 1281167
    for metric, found in truth.statistics.items():
        np.testing.assert_array_equal(loaded[metric]["mu"], found.mean_D)
        np.testing.assert_array_equal(loaded[metric]["sigma"], found.cov_DD)
    back = tmp_path / "back.safetensors"
    said = ("--extractor", "fid=inception", "--extractor", "fd_dinov2=dinov2-vitl14")
    ran = inline("reference", "import", out, back, *said)  # these are small
    assert ran.returncode == 0, ran.stderr
    for metric, found in ReferenceFile.load(back).statistics.items():
        np.testing.assert_array_equal(found.cov_DD, truth.statistics[metric].cov_DD)

    assert inline("reference", "export", published, tmp_path / "out.npz").returncode == 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["mu"], truth.statistics["fid"].mean_D)
        np.testing.assert_array_equal(file["sigma"], truth.statistics["fid"].cov_DD)
    kept = inline("reference", "export", published, out)
    assert (kept.returncode, "--force replaces it" in kept.stderr) == (2, True)
    other = dict(truth.statistics)
    other["fid"] = replace(other["fid"], extractor="untrained:inception")
    replace(truth, statistics=other).save(tmp_path / "other.safetensors")
    false = inline("reference", "export", tmp_path / "other.safetensors", tmp_path / "false.npz")
    assert (false.returncode, "fid of untrained:inception" in false.stderr) == (2, True)
    odd = inline("reference", "export", published, tmp_path / "out.txt")
    assert (odd.returncode, "got out.txt" in odd.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("measure", "SETS/none", "--reference", "img64"), "does not exist"),
        (("measure", "SETS/fine", "--reference", "img64", "--metrics", "bla"), "no metric 'bla'"),
        (("measure", "SETS/fine", "--reference", "nope", "--metrics", METRIC), "no reference nope"),
        (("measure", "SETS/fine", "--reference", "img64"), "checkpoint fetch inception"),
        (("reference", "show", "nope"), "there is no reference nope"),
        (("reference", "build", "SETS/fine", "--metrics", "kid"), "images have no metric kid"),
        (
            ("measure", "SETS/fine", "--reference", "SETS/real", "--metrics", "fd:digitz"),
            "unknown feature network digitz; there are",
        ),
        (("reference", "import", "SETS/none.npz"), "none.npz: there is no such file"),
        (("compare", "SETS/fine", "SETS/real"), "fine/record.json; name a record.json, or the"),
    ],
)
def test_bad_questions_are_one_sentence(
    inline: Command, sets: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    given = [word.replace("SETS", str(sets)) for word in words]
    ran = inline(*given, GUIDEBENCH_CACHE=str(tmp_path))
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_metrics_of_real_images_need_real_images(
    inline: Command, sets: Path, tmp_path: Path
) -> None:
    cache = {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    words = ("reference", "build", sets / "real", "--metrics", METRIC, "--workers", 0)
    assert inline(*words, **cache).returncode == 0
    ran = inline("measure", sets / "fine", "--reference", "real", "--metrics", f"kid:{FEATURES}",
                 "--workers", 0, "--out", tmp_path / "x", **cache)  # fmt: skip
    assert ran.returncode == 2
    assert "compares with real images, real holds statistics alone" in ran.stderr
    assert not (tmp_path / "x").exists()


def test_nothing_is_replaced(inline: Command, sets: Path, published: Path, tmp_path: Path) -> None:
    """Neither a record, nor a reference of another origin by an import."""
    out = tmp_path / "out"
    words = ("measure", sets / "fine", "--reference", sets / "real", "--metrics",
             f"precision_recall:{FEATURES}", "--workers", 0, "--out", out)  # fmt: skip
    ran = inline(*words)
    assert ran.returncode == 0, ran.stderr
    assert "95 % of the expectation over real images" in ran.stdout
    record = load_record(out).record
    assert record.metrics[f"recall:{FEATURES}"].num_images == 18
    again = inline(*words)
    assert (again.returncode, "holds a record already" in again.stderr) == (2, True)
    lost = inline("measure", out, "--reference", sets / "real", "--metrics", METRIC)
    assert (lost.returncode, "has shards of 0 images, its record is of 18" in lost.stderr) == (
        2,
        True,
    )

    np.savez(tmp_path / "other.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    before = published.read_bytes()
    kept = inline("reference", "import", tmp_path / "other.npz", published)
    assert (kept.returncode, "was made from img64.pkl" in kept.stderr) == (2, True)
    assert published.read_bytes() == before


def test_images_beside_statistics_are_not_taken_for_their_origin(
    inline: Command, sets: Path, tmp_path: Path
) -> None:
    path = tmp_path / "VIRTUAL.npz"
    np.savez(path, mu=np.zeros(4), sigma=np.eye(4), arr_0=crops(5, 3, 0.0))
    words = ("measure", sets / "fine", "--reference", path, "--workers", 0, "--metrics")
    refused = inline(*words, METRIC, "--out", tmp_path / "a")
    assert refused.returncode == 2
    assert "reference import" in refused.stderr
    assert refused.stderr.count("\n") == 1
    served = inline(*words, f"precision_recall:{FEATURES}", "--out", tmp_path / "b")
    assert served.returncode == 0, served.stderr  # what they are for


def test_a_reference_is_known_by_its_pixels(inline: Command, tmp_path: Path) -> None:
    """Bitmaps of one size are of one length, whatever they show."""
    cache = {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    folder = tmp_path / "maps"
    folder.mkdir()
    for place, image in enumerate(crops(3, 4, 0.0)):
        Image.fromarray(image).save(folder / f"{place}.bmp")
    words = ("reference", "build", folder, "--metrics", METRIC, "--workers", 0)
    assert inline(*words, **cache).returncode == 0
    Image.fromarray(crops(1, 5, 0.0)[0]).save(folder / "1.bmp")
    ran = inline(*words, **cache)
    assert (ran.returncode, "was made from other images" in ran.stderr) == (2, True)
    (tmp_path / "cache" / "references" / "bad.safetensors").write_bytes(b"no")
    listed = inline("reference", "list", **cache)
    assert listed.returncode == 0
    assert "maps: fd:untrained" in listed.stdout
    assert "bad.safetensors is not a readable" in listed.stdout
    few = inline(*words, "--workers", -1, **cache)
    assert (few.returncode, "at least 0, got -1" in few.stderr) == (2, True)


def test_a_full_disk_is_told_of_before_images_are_measured(
    inline: Command, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        msg = f"cannot write {folder}: full"
        raise UserError(msg)

    monkeypatch.setattr(against, "require_writable", full)
    ran = inline("measure", sets / "fine", "--reference", sets / "real", "--metrics", METRIC,
                 "--out", tmp_path / "out", "--workers", 0)  # fmt: skip
    assert ran.returncode == 2
    assert f"cannot write {tmp_path / 'out'}: full" in ran.stderr
    for begun in (" real", " images"):  # the lines of progress of both passes
        assert begun not in ran.stderr


def test_copies_of_one_picture_are_no_samples(inline: Command, sets: Path, tmp_path: Path) -> None:
    folder_of(np.repeat(crops(1, 0, 0.0), 4, axis=0), tmp_path / "collapsed")
    ran = inline("measure", tmp_path / "collapsed", "--reference", sets / "real", "--metrics",
                 METRIC, "--out", tmp_path / "out", "--workers", 0)  # fmt: skip
    assert ran.returncode == 2
    assert "all 4 images of" in ran.stderr
    assert "have the same features" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image may go through a network."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    for module in (against, measurement):
        monkeypatch.setattr(module, "features_of", never)


@pytest.mark.usefixtures("no_pass")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (f"one {METRIC} out", "one holds 1 image, fd:untrained:dinov2-vits14 needs 2"),
        (f"small {METRIC} out", "real was made of 64 x 64 images, these have 32 x 32 pixels"),
        (f"fine {METRIC} file/out", "file is a file, a record's folder .* cannot be there"),
    ],
)
def test_what_cannot_end_well_is_refused_before_real_images_are_gone_through(
    inline: Command, sets: Path, tmp_path: Path, words: str, sentence: str
) -> None:
    (tmp_path / "file").touch()
    folder_of(crops(1, 0, 0.0), tmp_path / "one")
    folder_of(crops(3, 0, 0.0)[:, :32, :32], tmp_path / "small")
    images, metric, out = words.split()
    place = sets / images if images == "fine" else tmp_path / images
    ran = inline("measure", place, "--reference", sets / "real", "--metrics", metric,
                 "--out", tmp_path / out, "--workers", 0)  # fmt: skip
    assert ran.returncode == 2
    assert re.search(sentence, ran.stderr), ran.stderr
