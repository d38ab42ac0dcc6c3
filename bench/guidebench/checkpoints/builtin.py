"""The trained networks that come with the package, and where they came from. No torch."""

import json
import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, final

from pydantic import BaseModel, ConfigDict, ValidationError

from guidebench.base import UserError, sha256_file

FOLDER: Final = Path(str(resources.files("guidebench.checkpoints"))) / "builtin"
PROVENANCE: Final = "provenance.json"


@final
class Provenance(BaseModel):
    """How one file was made. `first_losses` let a shortened training be compared with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str
    sha256: str
    bytes: int
    command: str
    recipe: str
    recipe_sha256: str
    seed: int
    iterations: int
    parameters: int
    first_losses: tuple[float, ...]
    final_loss: float
    versions: dict[str, str]
    data_sha256: str
    checks: dict[str, float]
    finished: str


def read_provenance(folder: Path) -> dict[str, Provenance]:
    """All entries of a folder of trained networks; none where it has no such file.

    Raises:
        UserError: for a file that is cut or not a provenance.
    """
    path = folder / PROVENANCE
    if not path.exists():
        return {}
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: Provenance.model_validate(entry) for name, entry in fields.items()}
    except (ValueError, AttributeError, ValidationError) as error:
        msg = f"{path} is not a readable provenance; delete it and train again"
        raise UserError(msg) from error


def networks_folder() -> Path:
    """The shipped networks, or the folder that GUIDEBENCH_NETWORKS names, as `train` wrote it."""
    return Path(os.environ.get("GUIDEBENCH_NETWORKS", FOLDER))


@lru_cache(maxsize=1)
def builtin_networks() -> dict[str, Provenance]:
    """Names of the networks with their provenance."""
    return read_provenance(networks_folder())


def builtin_file(name: str) -> tuple[Path, str]:
    """Path and SHA-256 of a shipped network, verified.

    Raises:
        UserError: for an unknown name, or a file that is missing or was altered.
    """
    known = builtin_networks()
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        msg = f"{networks_folder()} has no network {name}; there: {there}"
        raise UserError(msg)
    path = networks_folder() / known[name].file
    way_out = "install guidebench again or retrain with `guidebench train`"
    if not path.is_file():
        msg = f"{path} is missing; {way_out}"
        raise UserError(msg)
    if (found := sha256_file(path)) != known[name].sha256:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., its provenance says "
            f"{known[name].sha256[:12]}...: the file was altered; {way_out}"
        )
        raise UserError(msg)
    return path, found
