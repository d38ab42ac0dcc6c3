"""Trains the built-in networks into a folder, with a provenance for each file."""

import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from guidebench.base import atomic_write, make_folder, sha256_bytes, sha256_file
from guidebench.checkpoints.builtin import PROVENANCE, Provenance, read_provenance
from guidebench.checkpoints.weights import SnapshotFile
from guidebench.data.digits import load_digits
from guidebench.data.fractal import Fractal
from guidebench.training.loop import Progress, Recipe, Trained, train
from guidebench.training.recipes import RECIPES
from guidebench.training.tasks import ClassifierTask, held_out_accuracy

_FIRST_LOSSES = 8
_FINAL_LOSSES = 100


def train_builtin(
    suite: str, folder: Path, *, start: Callable[[Recipe], Progress], say: Callable[[str], None]
) -> None:
    """Train every network of a suite that `folder` does not hold already.

    Interrupted trainings go on where their last saved state stands.

    Raises:
        UserError: where the folder cannot be written, or a training fails.
    """
    for recipe in RECIPES[suite]:
        path = folder / f"{recipe.name}.safetensors"
        known = read_provenance(folder).get(recipe.name)
        if known and known.recipe_sha256 == recipe.sha256 and path.is_file():
            if sha256_file(path) == known.sha256:
                say(f"{recipe.name}: already trained, final loss {known.final_loss:.4f}")
                continue
            say(f"{recipe.name}: {path} was altered, training it again")
        state_path = folder / ".state" / f"{recipe.name}.safetensors"
        make_folder(state_path.parent)
        trained = train(recipe, state_path=state_path, progress=start(recipe))
        entry = _store(recipe, trained, path, command=f"guidebench train {suite}")
        _add(folder, recipe.name, entry)
        state_path.unlink(missing_ok=True)
        checks = "".join(f", {k} {v:.4f}" for k, v in entry.checks.items())
        say(f"{recipe.name}: final loss {entry.final_loss:.4f}{checks}, {entry.bytes} bytes")


def _store(recipe: Recipe, trained: Trained, path: Path, *, command: str) -> Provenance:
    trained.file.save(path, recipe.dtype)
    losses = trained.losses
    tail = losses[-_FINAL_LOSSES:]
    return Provenance(
        file=path.name,
        sha256=sha256_file(path),
        bytes=path.stat().st_size,
        command=command,
        recipe=repr(recipe),
        recipe_sha256=recipe.sha256,
        seed=recipe.seed,
        iterations=recipe.iterations,
        parameters=trained.file.num_parameters,
        first_losses=losses[:_FIRST_LOSSES],
        final_loss=sum(tail) / len(tail),
        versions={
            "guidebench": version("guidebench"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": version("numpy"),
            "machine": platform.machine(),
        },
        data_sha256=_data_sha256(recipe),
        checks=_checks(recipe, trained.file),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _data_sha256(recipe: Recipe) -> str:
    if recipe.name.startswith("fractal"):
        return sha256_bytes(Fractal.of("AB").covariances_M22.numpy().tobytes())
    return load_digits().sha256


def _checks(recipe: Recipe, file: SnapshotFile) -> dict[str, float]:
    if not isinstance(recipe.task, ClassifierTask):
        return {}
    last = file.snapshots[-1]
    return {"held_out_accuracy": held_out_accuracy(file.reconstruct(last.iteration, last.ema))}


def _add(folder: Path, name: str, entry: Provenance) -> None:
    entries = read_provenance(folder) | {name: entry}
    fields = {n: entries[n].model_dump(mode="json") for n in sorted(entries)}
    text = json.dumps(fields, indent=2, allow_nan=False)
    atomic_write(folder / PROVENANCE, (text + "\n").encode())
