"""Out of memory: half the batch, in words, with a flag that stays in the record."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.base import UserError
from guidebench.reports.record import Record
from guidebench.runs.domains import Start
from guidebench.runs.execution import Execution
from guidebench.runs.folder import make_job
from guidebench.runs.sample import Sampler, is_out_of_memory
from guidebench.runs.worker import measure_run, sample_shard
from tests.runs.test_sample import small


def limit(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Batches of more than `most` fail like an allocator; returns the sizes that were tried."""
    integrate, tried = Execution.integrate, []

    def limited(self: Execution, start: Start) -> tuple[Tensor, object]:
        tried.append(len(start.x))
        if len(start.x) > most:
            raise error
        return integrate(self, start)

    monkeypatch.setattr(Execution, "integrate", limited)
    return tried


ERRORS = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "host": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    "host, by the system": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    "python": MemoryError(),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
}


def broken_recording() -> RuntimeError:
    """What `torch.cuda.graph` raises at its end where memory ran out inside."""
    try:
        try:
            raise ERRORS["gpu"]
        finally:
            msg = "CUDA error: capturing stream has unjoined work"
            raise RuntimeError(msg)
    except RuntimeError as error:
        return error


def test_what_real_allocators_say_is_known() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(broken_recording())
    assert not is_out_of_memory(RuntimeError("CUDA error: capturing stream has unjoined work"))


@pytest.mark.parametrize("name", ERRORS)
def test_halves_until_it_fits_and_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small("fractal::none", batch_size=8).spec
    expected = Sampler(spec.with_options(batch_size=2)).sample(range(8)).arrays["points"]
    tried = limit(monkeypatch, 2, ERRORS[name])
    found = Sampler(spec).sample(range(8))
    assert tried == [8, 4, 2, 2, 2, 2]
    assert found.reduced_batch_size == 2
    np.testing.assert_array_equal(found.arrays["points"], expected)
    said = capsys.readouterr().err
    assert "out of memory: seeds 0 to 7 again in batches of 4" in said
    assert "again in batches of 2" in said


def test_what_did_not_fit_is_freed_before_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded steps and their owner hold each other, so that only the collector frees them."""
    held: list[weakref.ref[Execution]] = []

    def full(self: Execution, start: Start) -> tuple[Tensor, object]:
        assert all(ref() is None for ref in held), "two sizes held memory at once"
        setattr(self, "loop", self)  # noqa: B010
        held.append(weakref.ref(self))
        raise torch.OutOfMemoryError if len(start.x) > 2 else RuntimeError

    monkeypatch.setattr(Execution, "integrate", full)
    gc.disable()
    try:
        with pytest.raises(RuntimeError):
            Sampler(small("fractal::none", batch_size=8).spec).sample(range(8))
    finally:
        gc.enable()
    assert len(held) == 3


def test_the_first_batch_after_halving_is_cold_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs then is recorded anew, for a second shard too."""
    limit(monkeypatch, 2, ERRORS["gpu"])
    sampler = Sampler(small("fractal::none", batch_size=4, num_images=16).spec)
    for seeds in (range(8), range(8, 16)):
        assert [b.cold for b in sampler.sample(seeds).batches] == [True, False, False, False]


def test_one_sample_that_does_not_fit_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 0, ERRORS["gpu"])
    with pytest.raises(UserError, match="cpu has no memory for one sample of no guidance"):
        Sampler(small("fractal::none").spec).sample(range(4))


def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = limit(monkeypatch, 2, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        Sampler(small("fractal::none").spec).sample(range(4))
    assert tried == [4]
    assert not is_out_of_memory(ValueError("memory"))


def test_the_flag_is_in_the_record_and_none_where_all_was_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = small("fractal::none")
    for most, flag in ((4, None), (2, 2)):
        limit(monkeypatch, most, ERRORS["gpu"])
        job = make_job(row, tmp_path / str(most), threads=1)
        job.prepare()
        for index in range(row.spec.num_shards):
            sample_shard(job, index)
        measure_run(job, 1, 1)
        cost = Record.load(job.record_path).cost
        assert cost.reduced_batch_size == flag
        assert cost.batch_size == 4
        words = "out of memory: 2 of 2 shards in batches of as few as 2 instead of 4"
        assert (words in cost.doubts) == (flag is not None)
