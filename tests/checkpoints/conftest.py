from pathlib import Path

import pytest

from tests.checkpoints.place import CONTENT, NAME, Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    made.folder.mkdir()
    (made.folder / NAME).write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(made.cache))
    for name in ("GUIDEBENCH_MIRROR", "GUIDEBENCH_OFFLINE", "GUIDEBENCH_LOCK"):
        monkeypatch.delenv(name, raising=False)
    return made
