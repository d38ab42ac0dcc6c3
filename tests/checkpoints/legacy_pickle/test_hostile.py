"""Every hostile file is refused in one sentence, and nothing runs; plain pickle.loads is armed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guidebench.base import UserError
from guidebench.checkpoints.legacy_pickle import inspect_pickle, read_network, read_reference
from tests.checkpoints.legacy_pickle import corpus

ARMED = corpus.armed()
BROKEN = corpus.broken()
CONTROL = """
import os, pickle, sys, types
persistence = types.ModuleType("torch_utils.persistence")
persistence._reconstruct_persistent_obj = lambda meta: exec(meta["module_src"])  # as published
sys.modules["torch_utils"] = types.ModuleType("torch_utils")
sys.modules["torch_utils.persistence"] = persistence
util = types.ModuleType("dnnlib.util")
util.EasyDict = type("EasyDict", (dict,), {})
sys.modules["dnnlib"], sys.modules["dnnlib.util"] = types.ModuleType("dnnlib"), util
try:
    result = pickle.loads(open(sys.argv[1], "rb").read())
    if hasattr(result, "wait"):
        result.wait()
except Exception as error:
    print(error)
import logging
if hasattr(logging.Handler, "hacked"):
    open(os.environ["GUIDEBENCH_MARKER"], "w").close()
"""
WATCH = """
import json, sys, time
from pathlib import Path
from guidebench.checkpoints.legacy_pickle.files import _FAILURES, parse
from guidebench.checkpoints.legacy_pickle.networks import network_from
from guidebench.checkpoints.legacy_pickle.references import reference_from
from guidebench.checkpoints.network_file import Source

source = Source(file="x.pkl", sha256="0", bytes=1)
files = {p.name: memoryview(bytearray(p.read_bytes())) for p in sorted(Path(sys.argv[1]).iterdir())}
parse(files["good"], source, network_from)  # torch and pydantic import what they need
FORBIDDEN = ("exec", "compile", "import", "open", "pickle.", "os.", "subprocess.", "ctypes.")
events, watching = [], False

def hook(event, args):
    if watching and event.startswith(FORBIDDEN):
        events.append(event)

sys.addaudithook(hook)
outcomes, slowest, watching = {}, 0.0, True
for name, view in files.items():
    for make in (network_from, lambda record, _: reference_from(record)):
        start = time.perf_counter()
        try:
            parse(view, source, make)
            outcomes[name] = "read"
        except _FAILURES:
            outcomes.setdefault(name, "refused")
        slowest = max(slowest, time.perf_counter() - start)
watching = False
seen = list(events)
watching = True
import pickle
try:
    pickle.loads(b"cos\\nnothing\\n.")
except AttributeError:
    watching = False
print(json.dumps({"outcomes": outcomes, "events": seen, "fires": events, "slowest": slowest}))
"""


@pytest.mark.parametrize("name", ARMED)
def test_armed_files_fire_under_plain_pickle_and_are_refused_here(
    name: str, tmp_path: Path
) -> None:
    marker, path = tmp_path / "marker", tmp_path / "evil.pkl"
    path.write_bytes(ARMED[name])
    environment = os.environ | {"GUIDEBENCH_MARKER": str(marker)}
    for read in (read_network, read_reference, inspect_pickle):
        with pytest.raises(UserError, match="is refused: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert not marker.exists()
    subprocess.run([sys.executable, "-c", CONTROL, path], env=environment, check=True)
    assert marker.exists(), "the control did not fire: this file proves nothing"


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.pkl"
    path.write_bytes(BROKEN[name])
    for read in (read_network, read_reference):
        with pytest.raises(UserError, match="is refused: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("reduce to os.system", "the file is a call of os.system"),
        ("opcode INST", "opcode 0x69 at byte"),
        ("attribute chain", "a call of subprocess.os.system"),
        ("pickle nested in a storage", "a call of torch.storage._load_from_bytes"),
    ],
)
def test_the_sentence_names_what_was_found(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(ARMED[name])
    with pytest.raises(UserError, match=reason):
        read_network(path)


def test_nothing_is_opened_imported_or_run_while_reading(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, data in (ARMED | BROKEN | {"good": corpus.good()}).items():
        (folder / name.replace("/", " ")).write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, folder], capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    print(f"{len(found['outcomes']) - 1} files, {len(found['events'])} events while reading, "
          f"slowest {found['slowest']:.3f} s")  # fmt: skip
    assert found["outcomes"].pop("good") == "read"
    assert set(found["outcomes"].values()) == {"refused"}
    assert len(found["outcomes"]) == len(ARMED) + len(BROKEN)
    assert found["events"] == []
    assert "pickle.find_class" in found["fires"]  # the hook does see what it watches for
