"""Records in other people's tools: each target is one module, loaded when it is asked for."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol, cast, final

from guidebench.base import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guidebench.reports.store import StoredRecord


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where records can go: the module that writes, the extra that brings its library, and why."""

    module: str
    extra: str
    summary: str


TARGETS: Final[dict[str, Target]] = {
    "parquet": Target(
        module="parquet_files",
        extra="parquet",
        summary="metrics of each row, influences of each seed",
    ),
    "model-index": Target(
        module="model_index",
        extra="hub",
        summary="evaluation results for a Hugging Face model card",
    ),
    "mlflow": Target(module="mlflow_runs", extra="mlflow", summary="a run for each record"),
    "tensorboard": Target(
        module="tensorboard_events", extra="tensorboard", summary="scalars and the HParams table"
    ),
    "wandb": Target(module="wandb_runs", extra="wandb", summary="offline runs, to be synced"),
}


class Writer(Protocol):
    """What each target's module offers."""

    def write(self, records: "Sequence[StoredRecord]", out: Path, project: str) -> list[str]:
        """Write all records, and return a line for each thing written."""
        ...


def export(
    records: "Sequence[StoredRecord]", target: str, out: Path, project: str = "guidebench"
) -> list[str]:
    """Write `records` for another tool into the folder `out`.

    Args:
        records: from any number of folders and machines; each keeps its own machine.
        target: a name in `TARGETS`.
        out: made where it is missing; a second export of a record adds nothing.
        project: the project or experiment, and the model's name in a model card.

    Returns:
        A line for each file or place that was written.

    Raises:
        UserError: for an unknown target, a missing library, or two records that would be one.
    """
    if target not in TARGETS:
        msg = f"records can be exported to {', '.join(TARGETS)}, not to {target}"
        raise UserError(msg)
    writer = importlib.import_module(f"guidebench.reports.export.{TARGETS[target].module}")
    return cast("Writer", writer).write(records, out, project)


def require(module: str, target: str) -> ModuleType:
    """Import a library that only one target needs.

    Raises:
        UserError: where it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".", maxsplit=1)[0]
        extra = TARGETS[target].extra
        msg = f"export to {target} needs {name} ({error}): pip install 'guidebench[{extra}]'"
        raise UserError(msg) from error
