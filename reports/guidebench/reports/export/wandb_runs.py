"""One Weights & Biases run for each record, offline unless WANDB_MODE says otherwise."""

import os
from collections.abc import Sequence
from pathlib import Path

from guidebench.base import make_folder, require_writable
from guidebench.reports.export import require
from guidebench.reports.export.flat import flatten
from guidebench.reports.store import StoredRecord


def write(records: Sequence[StoredRecord], out: Path, project: str) -> list[str]:
    """Write runs below OUT/wandb, which `wandb sync` sends.

    A run's name is that of its record's digest: sent twice, it is one run.

    Raises:
        UserError: where the disk is full, after a run that may be cut, too.
    """
    wandb = require("wandb", "wandb")
    make_folder(out)
    mode = os.environ.get("WANDB_MODE", "offline")
    for stored in records:
        flat = flatten(stored)
        run = wandb.init(
            project=project,
            id=flat.digest[:32],
            name=flat.name,
            group=stored.record.suite,
            job_type=stored.record.role,
            config={**flat.params, **flat.tags},
            dir=str(out),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )
        run.summary.update(flat.metrics)
        run.finish()
        require_writable(out)  # W&B's process that writes says nothing of a full disk
    return [f"{out / 'wandb'}: {len(records)} runs ({mode}); wandb sync {out / 'wandb'}/offline-*"]
