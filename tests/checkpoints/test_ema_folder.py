"""Post-hoc EMA of whole networks, against averages tracked during a simulated training."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints import snapshots as reading
from guidebench.checkpoints.ema_folder import FolderEMA, Result
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.checkpoints.posthoc_ema import coefficients
from guidebench.checkpoints.snapshots import Profile, read_snapshot, snapshots_in
from guidebench.networks.registry import buffer_names
from tests.checkpoints import snapshots as simulated

TRACKED = (0.05, 0.10)
CONSTANTS = buffer_names("edm2", simulated.CONFIG)
EVERY, COUNT = 48, 12
STEP = EVERY * simulated.BATCH
LAST = STEP * COUNT


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshots of two tracked lengths, and the last of a third one in `held/`."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "held").mkdir()
    paths = simulated.train(folder, TRACKED, every=EVERY, count=COUNT, held_out=0.15)
    paths[-1].rename(folder / "held" / paths[-1].name)
    return folder


@pytest.fixture
def held(trained: Path) -> Path:
    return next((trained / "held").iterdir())


def plan(folder: Path, *wanted: Profile, held: Path | None = None) -> FolderEMA:
    apart = [read_snapshot(held)] if held else []
    return FolderEMA(snapshots_in(folder), wanted, apart, CONSTANTS)


def made(folder: Path, *wanted: Profile) -> list[Result]:
    return list(plan(folder, *wanted).run()[0])


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    squared = sum(float((a[n].double() - b[n].double()).square().sum()) for n in a)
    return math.sqrt(squared / sum(float(v.double().square().sum()) for v in b.values()))


def test_an_average_that_was_not_stored_is_close_to_the_tracked_one(
    trained: Path, held: Path
) -> None:
    (result,) = made(trained, Profile(LAST, 0.15))
    error = distance(dict(result.file.tensors), load_file(held))
    nearest = distance(load_file(trained / f"{simulated.RUN}-0001179-0.100.safetensors"),
                       load_file(held))  # fmt: skip
    assert error < 2e-3
    assert error < nearest / 20


def test_the_measured_error_is_the_distance_from_the_tracked_average(
    trained: Path, held: Path
) -> None:
    results, (measured,) = plan(trained, Profile(LAST, 0.12), held=held).run()
    (result,) = made(trained, Profile(LAST, 0.15))
    tracked = load_file(held)
    averaged = {n: v for n, v in result.file.tensors.items() if n not in CONSTANTS}
    truth = {n: tracked[n] for n in averaged}
    assert measured.error == pytest.approx(distance(averaged, truth), rel=1e-4)
    assert measured.worst_error == pytest.approx(
        max(distance({n: v}, {n: truth[n]}) for n, v in averaged.items()), rel=1e-4
    )
    near = load_file(trained / f"{simulated.RUN}-0001179-0.100.safetensors")
    assert measured.nearest == pytest.approx(
        distance({n: near[n] for n in averaged}, truth), rel=1e-6
    )
    assert [r.profile for r in results] == [Profile(LAST, 0.12)]


def test_held_out_files_take_no_part(trained: Path, tmp_path: Path, held: Path) -> None:
    for path in trained.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    inside = tmp_path / held.name
    inside.write_bytes(held.read_bytes())
    _, (measured,) = plan(tmp_path, held=inside).run()
    _, (apart,) = plan(trained, held=held).run()
    assert (measured.error, measured.predicted) == (apart.error, apart.predicted)
    assert measured.error > 0


def test_a_stored_average_is_given_back(trained: Path) -> None:
    (result,) = made(trained, Profile(EVERY * 5 * simulated.BATCH, 0.10))
    stored = load_file(trained / f"{simulated.RUN}-0000491-0.100.safetensors")
    assert result.predicted < 1e-5
    assert distance(dict(result.file.tensors), stored) < 1e-5


def test_results_are_the_weighted_sums_in_float32(trained: Path) -> None:
    """Literally, in float64, for two lengths at two times made in one pass."""
    wanted = [Profile(t, s) for t in (LAST, 388 * simulated.BATCH) for s in (0.07, 0.2)]
    found = snapshots_in(trained)
    files = [load_file(s.path) for s in found]
    for result in made(trained, *wanted):
        used = [s for s in found if s.profile.num_images < result.profile.num_images + STEP]
        weights = coefficients([s.profile.pair for s in used], [result.profile.pair])[:, 0]
        assert len(result.file.header.sources) == len(used)
        for name, value in result.file.tensors.items():
            if name not in CONSTANTS:
                literal = sum(w * f[name].double() for w, f in zip(weights, files, strict=False))
                torch.testing.assert_close(value.double(), literal, rtol=1e-5, atol=1e-5)
            else:
                assert torch.equal(value, files[0][name])


def test_every_file_is_opened_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(path: Path, **options: Any) -> Any:  # noqa: ANN401
        opened.append(path.name)
        return safe_open(path, **options)

    found = snapshots_in(trained)
    job = FolderEMA(found, [Profile(LAST, s) for s in (0.06, 0.08, 0.2)], [], CONSTANTS)
    monkeypatch.setattr(reading, "safe_open", counted)
    assert len(list(job.run()[0])) == 3
    assert sorted(opened) == sorted(s.path.name for s in found)


def test_a_result_does_not_depend_on_what_else_is_asked_for(trained: Path) -> None:
    early = Profile(STEP * 7 // 2, 0.08)
    (alone,) = made(trained, early)
    (again, _) = made(trained, early, Profile(LAST, 0.2))
    assert len(alone.file.header.sources) == len(TRACKED) * 4
    assert alone.file.header == again.file.header
    for name, value in alone.file.tensors.items():
        assert torch.equal(value, again.file.tensors[name])


def test_the_header_names_time_length_and_every_source(trained: Path) -> None:
    (result,) = made(trained, Profile(LAST, 0.123))
    header = result.file.header
    assert (header.ema, header.num_images, header.config) == (0.123, LAST, simulated.CONFIG)
    assert len(header.sources) == len(TRACKED) * COUNT
    assert len({source.sha256 for source in header.sources}) == len(header.sources)


def test_more_snapshots_predict_and_give_smaller_errors(trained: Path, held: Path) -> None:
    found = snapshots_in(trained)
    apart = [read_snapshot(held)]
    few = FolderEMA(found[-6:], [], apart, CONSTANTS)
    all_of_them = FolderEMA(found, [], apart, CONSTANTS)
    (a,), (b,) = few.run()[1], all_of_them.run()[1]
    assert b.predicted < a.predicted
    assert b.error < a.error


def altered(folder: Path, out: Path, name: str, **changes: Tensor | None) -> None:
    """The folder's files, with tensors of one of them replaced or taken away."""
    for path in folder.glob("*.safetensors"):
        (out / path.name).symlink_to(path)
    path = out / name
    path.unlink()
    file = NetworkFile.load(folder / name)
    tensors = {n: v for n, v in (dict(file.tensors) | changes).items() if v is not None}
    NetworkFile(file.header, tensors).save(path)


ONE = f"{simulated.RUN}-0000491-0.050.safetensors"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (min(CONSTANTS), torch.zeros(1), "the constant .* is another one than in"),
        ("unet.out_gain", None, r"unet.out_gain is missing or of another shape"),
        ("unet.out_gain", torch.zeros(2), r"unet.out_gain is missing or of another shape"),
        ("unet.other", torch.zeros(2), r"unet.other is missing or of another shape"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    trained: Path, tmp_path: Path, name: str, value: Tensor | None, words: str
) -> None:
    altered(trained, tmp_path, ONE, **{name: value})
    with pytest.raises(UserError, match=words):
        made(tmp_path, Profile(LAST, 0.1))


def rewritten(trained: Path, out: Path) -> Iterator[tuple[str, str]]:
    """Folders that are refused before any weights are read: name and words."""
    (out / "empty").mkdir()
    yield "empty", "holds no .safetensors files; name a folder"
    (out / "pickles").mkdir()
    (out / "pickles" / "a.pkl").touch()
    yield "pickles", "holds no .safetensors files; `guidebench checkpoint convert"
    yield "absent", "holds no .safetensors"
    file = NetworkFile.load(trained / ONE)
    for folder, change, words in (
        ("twice", {}, "are the same average"),
        ("unknown", {"ema": None}, "does not say which average it is"),
        ("other", {"config": simulated.CONFIG | {"label_dim": 0}}, "config: label_dim"),
    ):
        (out / folder).mkdir()
        file.save(out / folder / ONE)
        changed = file.header.model_copy(update=change)
        NetworkFile(changed, file.tensors).save(out / folder / "b-0000001-0.050.safetensors")
        yield folder, words
    (out / "foreign").mkdir()
    save_file({"a": torch.zeros(1)}, out / "foreign" / "a.safetensors")
    yield "foreign", "has format None"


def test_folders_that_are_no_training_are_refused(trained: Path, tmp_path: Path) -> None:
    for folder, words in rewritten(trained, tmp_path):
        with pytest.raises(UserError, match=words):
            snapshots_in(tmp_path / folder)


def test_times_after_the_last_snapshot_are_refused(trained: Path) -> None:
    with pytest.raises(UserError, match="the last is at"):
        plan(trained, Profile(LAST + 1, 0.1))
