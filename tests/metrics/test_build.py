"""Features in one pass and references built from images: bits, resumption, provenance."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from guidebench.base import UserError
from guidebench.metrics import build
from guidebench.metrics.build import build_reference, features_of
from guidebench.metrics.features import Extractor
from guidebench.metrics.images import ImageSource, TensorSource, open_images
from guidebench.metrics.reference import ReferenceFile

COUNT = 41


def extractor(name: str = "means", dim: int = 5) -> Extractor:
    """A cheap stand-in: random projections of the pixels."""
    weights = torch.randn(3 * 8 * 8, dim, generator=torch.Generator().manual_seed(dim))

    def embed(x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW.to(torch.float32).flatten(1) @ weights

    return Extractor(
        name=name, dim=dim, weights_sha256="0" * 64, resize="none", comparable=False,
        device=torch.device("cpu"), embed=embed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    folder = tmp_path_factory.mktemp("images")
    for place, image in enumerate(
        np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
    ):
        Image.fromarray(image).save(folder / f"{place:03d}.png")
    return open_images(folder)


@pytest.fixture(autouse=True)
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SPAN", 8)
    monkeypatch.setattr(build, "_BATCH", 4)
    monkeypatch.setattr(build, "_KEEP_EVERY", 1)


EXTRACTORS = {"fid": extractor(), "fd_dinov2": extractor("others", 3)}


def built(source: ImageSource, state: Path, workers: int = 0, **more: object) -> ReferenceFile:
    return build_reference(
        source, EXTRACTORS, name="mine", state=state, workers=workers, **more  # type: ignore[arg-type]
    )  # fmt: skip


def test_statistics_are_those_of_the_features(source: ImageSource, tmp_path: Path) -> None:
    passed = features_of(source, EXTRACTORS, workers=0)
    file = built(source, tmp_path / "state")
    for metric, features in passed.features.items():
        found = file.statistics[metric]
        wide = features.astype(np.float64)
        np.testing.assert_allclose(found.mean_D, wide.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.cov_DD, np.cov(wide, rowvar=False), rtol=1e-9)
        assert found.extractor_id == EXTRACTORS[metric].id
    assert (file.num_images, file.resolution) == (COUNT, (8, 8))
    assert file.dataset_sha256 == passed.digest
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("stop", [3, 9, 17, 40])
def test_a_killed_build_goes_on_with_the_same_bits(
    source: ImageSource, tmp_path: Path, stop: int
) -> None:
    whole = built(source, tmp_path / "a")

    def die(done: int, _: int) -> None:
        if done >= stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(source, tmp_path / "b", progress=die)
    again: list[int] = []
    resumed = built(source, tmp_path / "b", progress=lambda done, _: again.append(done))
    killed = -(-stop // 4) * 4
    assert again[0] == min(COUNT, (killed - 1) // 8 * 8 + 4)
    assert resumed.key == whole.key
    for metric, found in whole.statistics.items():
        assert np.array_equal(found.cov_DD, resumed.statistics[metric].cov_DD)
        assert np.array_equal(found.mean_D, resumed.statistics[metric].mean_D)


def killed(source: ImageSource, state: Path, after: int = 20) -> None:
    def die(done: int, _: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(source, state, progress=die)


def test_images_changed_meanwhile_are_noticed_whatever_their_size(
    source: ImageSource, tmp_path: Path
) -> None:
    folder, state = tmp_path / "images", tmp_path / "state"
    shutil.copytree(source.path, folder)
    for image in folder.iterdir():  # bitmaps: equal pixels' count, equal size
        Image.open(image).save(image.with_suffix(".bmp"))
        image.unlink()
    before = open_images(folder)
    killed(before, state)
    first, second = folder / "000.bmp", folder / "001.bmp"
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)
    after = open_images(folder)
    assert after.listing == before.listing
    resumed: list[int] = []
    found = built(after, state, progress=lambda done, _: resumed.append(done))
    assert resumed[0] == 4
    assert found.key == built(after, tmp_path / "anew").key != built(source, tmp_path / "a").key


def test_images_touched_and_not_changed_are_decoded_and_not_measured_again(
    source: ImageSource, tmp_path: Path
) -> None:
    folder, state = tmp_path / "images", tmp_path / "state"
    shutil.copytree(source.path, folder)
    killed(open_images(folder), state)
    (folder / "003.png").touch()
    resumed: list[int] = []
    found = built(open_images(folder), state, progress=lambda done, _: resumed.append(done))
    assert resumed[0] > 4
    assert found.key == built(source, tmp_path / "a").key


def test_tensors_are_looked_at_again_before_a_build_goes_on(tmp_path: Path) -> None:
    pixels, state = torch.randint(0, 256, (COUNT, 3, 8, 8), dtype=torch.uint8), tmp_path / "state"
    whole = built(TensorSource([pixels], num=COUNT), tmp_path / "a")
    killed(TensorSource([pixels], num=COUNT), state)
    resumed: list[int] = []
    again = TensorSource([pixels], num=COUNT)
    found = built(again, state, progress=lambda done, _: resumed.append(done))
    assert (resumed[0] > 4, found.key) == (True, whole.key)
    killed(TensorSource([pixels], num=COUNT), state)
    with pytest.raises(UserError, match="is gone; give the batches anew"):
        built(TensorSource([255 - pixels], num=COUNT), state)
    other = built(TensorSource([255 - pixels], num=COUNT), state)
    assert other.key != whole.key


def test_damaged_or_foreign_work_is_begun_anew(source: ImageSource, tmp_path: Path) -> None:
    state = tmp_path / "state"
    whole = built(source, tmp_path / "a")
    state.write_bytes(b"damaged")
    assert built(source, state).key == whole.key
    with pytest.raises(KeyboardInterrupt):
        built(source, state, progress=lambda done, _: (_ for _ in ()).throw(KeyboardInterrupt)
              if done > 20 else None)  # fmt: skip
    data = bytearray(state.read_bytes())
    data[-3] ^= 1  # one bit of a sum
    state.write_bytes(data)
    mended = built(source, state)
    for metric, found in whole.statistics.items():
        assert np.array_equal(found.cov_DD, mended.statistics[metric].cov_DD)
    with pytest.raises(KeyboardInterrupt):
        built(source, state, progress=lambda done, _: (_ for _ in ()).throw(KeyboardInterrupt)
              if done > 20 else None)  # fmt: skip
    other = {"fid": extractor(dim=4)}
    file = build_reference(source, other, name="mine", state=state, workers=0)
    features = features_of(source, other, workers=0).features["fid"]
    np.testing.assert_allclose(file.statistics["fid"].mean_D, features.mean(0), rtol=1e-5)


def test_worker_processes_change_nothing(source: ImageSource, tmp_path: Path) -> None:
    one, two = built(source, tmp_path / "a"), built(source, tmp_path / "b", workers=2)
    one.save(tmp_path / "one.safetensors")
    two.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "two.safetensors"
    ).read_bytes()


def test_the_key_covers_data_count_size_and_extractors(source: ImageSource, tmp_path: Path) -> None:
    file = built(source, tmp_path / "state")
    statistics = dict(file.statistics)
    statistics["fid"] = replace(statistics["fid"], extractor_id="other")
    changes: list[dict[str, object]] = [
        {"dataset_sha256": "1" * 64}, {"num_images": 7}, {"resolution": (9, 9)},
        {"statistics": statistics},
    ]  # fmt: skip
    keys = {replace(file, **change).key for change in changes} | {file.key}  # type: ignore[arg-type]
    assert len(keys) == 5
    assert replace(file, name="other", source_file="moved").key == file.key


def test_a_stored_reference_keeps_where_it_came_from(source: ImageSource, tmp_path: Path) -> None:
    file = built(source, tmp_path / "state")
    path = tmp_path / "mine.safetensors"
    file.save(path)
    found = ReferenceFile.load(path)
    assert (found.key, found.resolution, found.num_images) == (file.key, (8, 8), COUNT)
    found.require_made_by("means", EXTRACTORS["fid"].id)
    with pytest.raises(UserError, match=r"was made by means-.*, the metric uses means-other"):
        found.require_made_by("means", "means-other")
    with pytest.raises(UserError, match="holds statistics of means, others"):
        found.require_made_by("inception", "x")


@pytest.mark.parametrize(
    ("embed", "sentence"),
    [
        (lambda x: torch.zeros(len(x), 4), r"shape \(4, 4\) of 4 images, \(4, 5\) were promised"),
        (lambda x: torch.zeros(len(x) - 1, 5), r"shape \(3, 5\) of 4 images"),
        (lambda x: torch.full((len(x), 5), torch.nan), "features that are not finite"),
    ],
    ids=["width", "rows", "nan"],
)
def test_a_network_that_breaks_its_promise_is_named(
    source: ImageSource, embed: Callable[[torch.Tensor], torch.Tensor], sentence: str
) -> None:
    with pytest.raises(UserError, match=f"means made .*{sentence}"):
        features_of(source, {"fid": replace(extractor(), embed=embed)}, workers=0)
