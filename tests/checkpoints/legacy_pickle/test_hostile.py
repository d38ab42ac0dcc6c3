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
from tests.checkpoints.legacy_pickle.endless import endless

ARMED = corpus.armed()
BROKEN = corpus.broken()
ENDLESS = endless()
MUTANTS = corpus.mutants(100)
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
watching = True  # the hook itself is put to the proof
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


@pytest.mark.timeout(20)  # an endless one would never be done
@pytest.mark.parametrize("name", BROKEN | ENDLESS)
def test_broken_files_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.pkl"
    path.write_bytes((BROKEN | ENDLESS)[name])
    for read in (read_network, read_reference, inspect_pickle):
        with pytest.raises(UserError, match="is refused: ") as caught:
            read(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 700


PLAIN = """
import json, pickle, resource, sys, types
from pathlib import Path
import numpy, torch
persistence = types.ModuleType("torch_utils.persistence")
persistence._reconstruct_persistent_obj = lambda meta: meta
sys.modules["torch_utils"] = types.ModuleType("torch_utils")
sys.modules["torch_utils.persistence"] = persistence
util = types.ModuleType("dnnlib.util")
util.EasyDict = type("EasyDict", (dict,), {})
sys.modules["dnnlib"], sys.modules["dnnlib.util"] = types.ModuleType("dnnlib"), util
limit = 1024 * int(Path("/proc/self/statm").read_text().split()[0]) * 4 + (2 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
outcomes, kept = {}, []
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        with path.open("rb") as file:
            kept.append(pickle.load(file))  # a million levels are not freed one by one here
        outcomes[path.name] = "loaded"
    except Exception as error:
        outcomes[path.name] = type(error).__name__
print(json.dumps(outcomes), flush=True)
import os
os._exit(0)
"""
NOT_LOADED = {
    "a frame of 2^60 bytes": "MemoryError",
    "a length of 2^33 bytes": "MemoryError",
    "a memo index of 2^27": "MemoryError",
    "a negative size": "RuntimeError",
    "a text of 2^40 bytes": "MemoryError",
    "an unhashable key": "TypeError",
    "laughs as a byte order": "ValueError",
    "laughs as a size": "TypeError",
    "nested tuples for arguments": "ValueError",
    "opcode BINPERSID": "UnpicklingError",
    "opcode EXT1": "ValueError",
    "opcode PERSID": "UnpicklingError",
}


def test_plain_pickle_takes_most_of_the_broken_files(tmp_path: Path) -> None:
    """The control: that they are refused is the reader's doing, not the files' own."""
    for name, data in (BROKEN | ENDLESS).items():
        if not name.startswith(("cut at byte", "keys of one hash")):  # that takes minutes there
            (tmp_path / name).write_bytes(data)
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", PLAIN, tmp_path],
                         capture_output=True, text=True, check=True)  # fmt: skip
    found = json.loads(ran.stdout)
    assert {name: how for name, how in found.items() if how != "loaded"} == NOT_LOADED


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
    for name, data in (ARMED | BROKEN | ENDLESS | MUTANTS | {"good": corpus.good()}).items():
        (folder / name.replace("/", " ")).write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, folder], capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    outcomes = found["outcomes"]
    assert outcomes.pop("good") == "read"
    mutants = [outcomes.pop(name) for name in MUTANTS]
    print(f"{len(outcomes)} files and {len(mutants)} mutants, {len(found['events'])} events while "
          f"reading, slowest {found['slowest']:.3f} s")  # fmt: skip
    assert set(outcomes.values()) == {"refused"}
    assert set(mutants) == {"read", "refused"}
    assert len(outcomes) == len(ARMED) + len(BROKEN) + len(ENDLESS)
    assert found["events"] == []
    assert "pickle.find_class" in found["fires"]  # the hook does see what it watches for
