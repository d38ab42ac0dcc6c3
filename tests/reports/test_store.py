import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from guidebench.base import sha256_file
from guidebench.reports import RecordError
from guidebench.reports.store import (
    ImagesPreview,
    PointsPreview,
    StoredRecord,
    find_records,
    load_record,
)

from .synthetic import Row, write_simple
from .synthetic_suites import NUM_POINTS

ROW = Row(row="cfg", title="CFG", order=1, calls={"main": 63})
SAMPLES_N = np.random.default_rng(0).standard_normal(100)


@pytest.fixture
def stored(tmp_path: Path) -> StoredRecord:
    return write_simple(tmp_path / "runs", ROW, SAMPLES_N)


def rewrite(stored: StoredRecord, **changes: object) -> Path:
    fields = json.loads(stored.path.read_text()) | changes
    stored.path.write_text(json.dumps(fields))
    return stored.path


def test_finds_records_at_any_depth_and_each_once(stored: StoredRecord, tmp_path: Path) -> None:
    found = find_records([tmp_path, stored.path, stored.path.parent])
    assert [r.path.resolve() for r in found] == [stored.path.resolve()]
    assert found[0].record == stored.record


def test_a_folder_may_stand_for_the_one_record_in_it(tmp_path: Path) -> None:
    rows = [ROW, Row(row="none", title="No guidance", order=0, calls={"main": 63})]
    for found in [write_simple(tmp_path, row, SAMPLES_N) for row in rows]:
        for folder in (found.path.parent, found.path.parent.parent):
            assert load_record(folder).path == found.path
    with pytest.raises(RecordError, match=r"holds 2 records, .* and others; name one of them"):
        load_record(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="there is no record"):
        load_record(tmp_path / "empty")


def test_standard_error_follows_from_the_influences(stored: StoredRecord) -> None:
    influence_N = stored.influence("score")
    error = influence_N.std(ddof=1) / np.sqrt(len(influence_N))
    assert error == pytest.approx(stored.record.metrics["score"].standard_error, rel=1e-12)


def test_previews_of_both_kinds(fractal: list[StoredRecord], digits: list[StoredRecord]) -> None:
    truth = next(r for r in fractal if r.record.role == "truth").preview()
    assert isinstance(truth, PointsPreview)
    assert truth.points.shape == (NUM_POINTS, 2)
    assert truth.density is not None
    assert truth.density.extent == (-0.9, 1.5, -0.9, 1.5)
    images = next(r for r in digits if r.record.row == "none").preview()
    assert isinstance(images, ImagesPreview)
    assert images.images.shape == (200, 8, 8)


def test_no_preview_is_none(stored: StoredRecord) -> None:
    assert stored.preview() is None


def test_nothing_found_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record\.json in .*guidebench run fractal"):
        find_records([tmp_path])


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nowhere does not exist"):
        find_records([tmp_path / "nowhere"])


def test_cut_record(stored: StoredRecord) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:-40])
    with pytest.raises(RecordError, match=r"record\.json is not readable as a record"):
        load_record(stored.path)


def test_newer_format(stored: StoredRecord) -> None:
    with pytest.raises(RecordError, match="has record format 2, this version reads 1; run its"):
        load_record(rewrite(stored, format=2))


def test_unknown_field(stored: StoredRecord) -> None:
    with pytest.raises(RecordError, match="surprise: Extra inputs"):
        load_record(rewrite(stored, surprise=1))


def test_changed_array(stored: StoredRecord) -> None:
    path = stored.path.parent / "per_seed.safetensors"
    save_file({"score": np.zeros(100)}, path)
    with pytest.raises(RecordError, match=r"per_seed.* has digest .* simple::cfg again"):
        stored.influence("score")


def test_missing_array(stored: StoredRecord) -> None:
    (stored.path.parent / "per_seed.safetensors").unlink()
    with pytest.raises(RecordError, match=r"per_seed\.safetensors is not readable"):
        stored.influence("score")


def test_corrupt_array(stored: StoredRecord) -> None:
    path = stored.path.parent / "per_seed.safetensors"
    path.write_bytes(b"\xff" * 64)
    attachment = {"file": path.name, "sha256": sha256_file(path)}
    with pytest.raises(RecordError, match=r"per_seed\.safetensors is not readable"):
        load_record(rewrite(stored, per_seed=attachment)).influence("score")


def test_metric_without_influence(stored: StoredRecord) -> None:
    with pytest.raises(RecordError, match="holds score but not fid"):
        stored.influence("fid")


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/passwd"])
def test_attachment_must_lie_beside_the_record(stored: StoredRecord, name: str) -> None:
    path = rewrite(stored, per_seed={"file": name, "sha256": "0" * 64})
    with pytest.raises(RecordError, match="which is not a file beside it"):
        load_record(path).influence("score")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("sounds", "a preview of sounds, this version"), ("points", "preview of points without")],
)
def test_preview_that_cannot_be_drawn(stored: StoredRecord, kind: str, message: str) -> None:
    path = stored.path.parent / "preview.safetensors"
    save_file({"x": np.zeros(1)}, path, metadata={"kind": kind})
    attachment = {"file": path.name, "sha256": sha256_file(path)}
    with pytest.raises(RecordError, match=message):
        load_record(rewrite(stored, preview=attachment)).preview()


@pytest.mark.parametrize(("channels", "count"), [(4, 2), (3, 5)])
def test_images_of_another_shape_are_named(tmp_path: Path, channels: int, count: int) -> None:
    arrays: dict[str, np.ndarray] = {
        "images": np.zeros((2, 8, 8, channels), np.uint8),
        "labels": np.zeros(count),
    }
    stored = write_simple(tmp_path, ROW, SAMPLES_N, preview=("images", arrays))
    with pytest.raises(
        RecordError, match=rf"images \[2, 8, 8, {channels}\] and labels \[{count}\]"
    ):
        stored.preview()


def test_records_from_before_published_values_still_read(stored: StoredRecord) -> None:
    fields = json.loads(stored.path.read_text())
    assert fields.pop("published") == {}
    stored.path.write_text(json.dumps(fields))
    assert load_record(stored.path).record == stored.record


def test_moved_folder_still_reads(tmp_path: Path) -> None:
    write_simple(tmp_path / "runs", ROW, SAMPLES_N)
    shutil.move(tmp_path / "runs", tmp_path / "moved")
    (found,) = find_records([tmp_path / "moved"])
    assert len(found.influence("score")) == 100
