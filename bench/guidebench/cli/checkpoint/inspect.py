"""guidebench checkpoint inspect FILE."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench.base import sha256_file

if TYPE_CHECKING:
    from guidebench.checkpoints.network_file import NetworkFile


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help=".pkl or .safetensors")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """Print what the file holds."""
    found = _converted(args.file) if args.file.suffix == ".safetensors" else _pickled(args.file)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    width = max(len(name) for name in found)
    for name, value in found.items():
        text = json.dumps(value) if isinstance(value, dict | list) else value
        print(f"{name:<{width}}  {text}")
    return 0


def _converted(path: Path) -> dict[str, Any]:
    from guidebench.runs.conversion import load_converted  # noqa: PLC0415

    file = load_converted(path)
    return _network(file) | {"sha256": sha256_file(path)}


def _pickled(path: Path) -> dict[str, Any]:
    from guidebench.checkpoints.legacy_pickle import PickledReference, inspect_pickle  # noqa: PLC0415
    from guidebench.runs.conversion import require_fit  # noqa: PLC0415

    words, source, found = inspect_pickle(path)
    if isinstance(found, PickledReference):
        sizes = {metric: len(s.mu_D) for metric, s in found.statistics.items()}
        return {
            "holds": "reference statistics; read by `guidebench reference import`",
            "num_images": found.num_images,
            "dimensions": sizes,
            "sha256": source.sha256,
        }
    require_fit(found, path)
    return _network(found) | {"holds": words, "sha256": source.sha256}


def _network(file: "NetworkFile") -> dict[str, Any]:
    from guidebench.runs.conversion import dtypes_of  # noqa: PLC0415

    header = file.header
    return {
        "architecture": header.architecture,
        "config": header.config,
        "encoder": header.encoder.kind if header.encoder else "none",
        "ema": header.ema,
        "num_images": header.num_images,
        "tensors": len(file.tensors),
        "scalars": dtypes_of(file),
        "made from": [f"{s.file} {s.sha256[:12]}" for s in header.sources],
    }
