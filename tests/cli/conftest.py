"""The installed command, in processes of its own."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from guidebench.cli import main
from guidebench.runs.claims import Claims

SUITE = Path(__file__).with_name("suite_tiny.py")
Ran = subprocess.CompletedProcess[str]
Command = Callable[..., Ran]


def entry_point() -> str:
    """The console script beside this interpreter, as pip installed it."""
    found = shutil.which("guidebench", path=str(Path(sys.executable).parent))
    assert found is not None, "guidebench is not installed beside this Python"
    return found


def run_command(*words: object, **environment: str) -> Ran:
    return subprocess.run(
        [entry_point(), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | environment,
    )


@pytest.fixture
def command() -> Command:
    return run_command


@pytest.fixture
def inline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same commands in this process, which has paid for torch already."""

    def run(*words: object, **environment: str) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            capsys.readouterr()
            try:
                code = main([str(word) for word in words])
            except SystemExit as end:  # argparse's own refusals
                code = int(end.code or 0)
        said = capsys.readouterr()
        return Ran([str(word) for word in words], code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def warm() -> ForkServerContext:
    """Worker processes of `inline` runs are forks of one that has done their slow beginning."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.cli.warm"])
    forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """The tiny suite run once, by two workers; tests work on copies of its folder."""
    out = tmp_path_factory.mktemp("finished") / "out"
    return out, run_command("run", SUITE, "--out", out, "--ranks", 2)


@pytest.fixture
def results(finished: tuple[Path, Ran], tmp_path: Path) -> Path:
    """A copy of a finished result folder, to be spoilt."""
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every record below a folder, by row."""
    found = [json.loads(p.read_text()) for p in sorted(out.rglob("record.json"))]
    return {record["row"]: record for record in found}


def numbers(out: Path) -> dict[str, object]:
    """What must not depend on ranks, kills or resumes: digests of samples, and metrics."""
    return {row: (r["samples_sha256"], r["metrics"]) for row, r in records(out).items()}


@contextmanager
def kept_open(out: Path, like: Path) -> Iterator[None]:
    """While inside, the run in `out` cannot end, however fast: this process claims a record of it.

    `like` is a finished folder of the same run.
    """
    record = max(like.rglob("record.json"))
    claims, claim = Claims(), out / record.parent.relative_to(like) / "claims" / "record"
    assert claims.take(claim)
    try:
        yield
    finally:
        claims.release(claim)
