"""Two suites as runs leave them: records, influences of each seed, previews."""

from pathlib import Path

import pytest

from guidebench.reports.store import StoredRecord, find_records

from .synthetic_suites import write_digits, write_fractal


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both suites; read it, never write into it."""
    out = tmp_path_factory.mktemp("runs")
    write_fractal(out)
    write_digits(out)
    return out


@pytest.fixture(scope="session")
def fractal(runs: Path) -> list[StoredRecord]:
    return find_records([runs / "fractal"])


@pytest.fixture(scope="session")
def digits(runs: Path) -> list[StoredRecord]:
    return find_records([runs / "digits"])
