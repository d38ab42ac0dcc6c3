"""One network in one safetensors file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints.network_file import (
    FORMAT,
    EncoderInfo,
    NetworkFile,
    NetworkHeader,
    Source,
    read_network_header,
)
from tests.full_disk import REFUSED, room_for


def header(**changes: Any) -> NetworkHeader:  # noqa: ANN401  fields of a header
    fields: dict[str, Any] = {
        "architecture": "edm2",
        "config": {"img_resolution": 64, "channel_mult": [1, 2], "channel_mult_emb": None},
        "encoder": EncoderInfo(kind="stability-vae", scale=(0.1, 0.2), bias=(1.5, -2.0)),
        "ema": 0.13,
        "num_images": 1 << 31,
        "sources": (Source(file="a.pkl", sha256="0" * 64, bytes=7),),
    }
    return NetworkHeader(**(fields | changes))


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    made = {f"t{i}": torch.randn(i + 1, 3).to(torch.float16) for i in range(12)}
    return made | {"gain": torch.zeros([]), "wide": torch.randn(5, dtype=torch.float64)}


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "n.safetensors"
    NetworkFile(header(), tensors()).save(path)
    found = NetworkFile.load(path)
    assert found.header == header() == read_network_header(path)
    assert found.tensors.keys() == tensors().keys()
    for name, value in tensors().items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value)
    assert [p.name for p in path.parent.iterdir()] == ["n.safetensors"]


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    """The library's own header order differs from call to call."""
    for place in range(8):
        shuffled = dict(sorted(tensors().items(), reverse=bool(place % 2)))
        NetworkFile(header(), shuffled).save(tmp_path / str(place))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_header_is_read_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    NetworkFile(header(), tensors()).save(path)
    program = (
        "import sys; from pathlib import Path; "
        "from guidebench.checkpoints.network_file import read_network_header; "
        "print(read_network_header(Path(sys.argv[1])).ema, 'torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["0.13", "False"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (None, "has format None, this version reads"),
        ({"format": "other-1"}, "has format other-1"),
        ({"format": FORMAT}, "header of .* is not whole"),
        ({"format": FORMAT, "network": "{"}, "header of .* is not whole"),
        ({"format": FORMAT, "network": json.dumps({"architecture": "edm3"})}, "is not whole"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, facts: dict[str, str] | None, words: str) -> None:
    path = tmp_path / "n.safetensors"
    save_file({"a": torch.zeros(2)}, path, facts)
    for read in (read_network_header, NetworkFile.load):
        with pytest.raises(UserError, match=words):
            read(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    NetworkFile(header(), tensors()).save(path)
    whole = path.read_bytes()
    for data in (b"", whole[:40], whole[:-1], b"\xff" * 64):
        path.write_bytes(data)
        with pytest.raises(UserError, match="is not a readable safetensors file"):
            NetworkFile.load(path)
    with pytest.raises(UserError, match="is not a readable safetensors file"):
        read_network_header(tmp_path / "absent.safetensors")


def test_headers_take_no_other_fields_and_no_false_numbers() -> None:
    for wrong in ({"ema": 0.0}, {"num_images": -1}, {"ema": float("nan")}, {"other": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            header(**wrong)


def test_a_full_disk_is_one_sentence_though_the_library_words_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    file = NetworkFile(header(), {"weight": torch.zeros(50_000)})
    with room_for(100_000), pytest.raises(UserError, match=f"cannot write {path}: {REFUSED}"):
        file.save(path)
    assert list(tmp_path.iterdir()) == []
