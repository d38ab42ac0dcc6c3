"""One MLflow run for each record, in a database: MLflow's own file store is not used."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guidebench.base import UserError, atomic_file, make_folder
from guidebench.reports.export import require
from guidebench.reports.export.flat import Flat, flatten
from guidebench.reports.store import StoredRecord

DIGEST = "guidebench.record_sha256"
LONGEST = 6000  # MLflow's limit for the text of a parameter
MOST = 100  # and for the parameters of one call


def write(records: Sequence[StoredRecord], out: Path, project: str) -> list[str]:
    """Log each record that the experiment `project` does not have yet, with its file.

    The tracking server is that of MLFLOW_TRACKING_URI, else `sqlite:///OUT/mlflow.db`.
    """
    mlflow = require("mlflow.tracking", "mlflow")
    make_folder(out)
    address = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        if address:
            return [_send(mlflow, address, records, project, {})]
        address = _database(mlflow, out)
        there = {"artifact_location": (out.resolve() / "mlartifacts").as_uri()}
        return [_send(mlflow, address, records, project, there)]
    except require("mlflow.exceptions", "mlflow").MlflowException as error:
        raise _refused(address or str(out), error) from error
    except require("sqlalchemy.exc", "mlflow").SQLAlchemyError as error:
        raise _refused(address or str(out), error) from error


def _database(mlflow: Any, out: Path) -> str:  # noqa: ANN401 - a lazy import
    """The address of the database in `out`, made whole: MLflow cannot go on from half of one."""
    path = out.resolve() / "mlflow.db"
    if not path.exists():
        with atomic_file(path) as partial:
            _client(mlflow, f"sqlite:///{partial}").search_experiments(max_results=1)
    return f"sqlite:///{path}"


def _client(mlflow: Any, address: str) -> Any:  # noqa: ANN401 - a lazy import
    return mlflow.MlflowClient(tracking_uri=address, registry_uri=address)


def _refused(address: str, error: Exception) -> UserError:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return UserError(
        f"MLflow cannot write to {address}: {reason}; make room there or name another place, the "
        "same command adds what is missing"
    )


def _send(
    mlflow: Any,  # noqa: ANN401 - a lazy import
    address: str,
    records: Sequence[StoredRecord],
    project: str,
    local: Mapping[str, str],
) -> str:
    client = _client(mlflow, address)
    known = client.get_experiment_by_name(project)
    experiment = known.experiment_id if known else client.create_experiment(project, **local)
    flats = [(flatten(stored), stored.path) for stored in records]
    fresh = [pair for pair in flats if not _logged(client, experiment, pair[0].digest)]
    for flat, path in fresh:
        _log(client, experiment, flat, path)
    there = len(records) - len(fresh)
    return f"{address}: {len(fresh)} runs in {project}, {there} were there already"


def _logged(client: Any, experiment: str, digest: str) -> bool:  # noqa: ANN401 - a lazy import
    """Whether a finished run has this record; one that was cut off does not count."""
    wanted = f"tags.`{DIGEST}` = '{digest}' and attributes.status = 'FINISHED'"
    return bool(client.search_runs([experiment], wanted, max_results=1))


def _log(client: Any, experiment: str, flat: Flat, path: Path) -> None:  # noqa: ANN401
    tags = {**flat.tags, DIGEST: flat.digest}
    run = client.create_run(experiment, run_name=flat.name, tags=tags)
    name = run.info.run_id
    kinds = require("mlflow.entities", "mlflow")
    now = int(1000 * time.time())
    numbers = [kinds.Metric(key, value, now, 0) for key, value in flat.metrics.items()]
    choices = [kinds.Param(key, str(value)[:LONGEST]) for key, value in flat.params.items()]
    client.log_batch(name, metrics=numbers)
    for batch in range(0, len(choices), MOST):
        client.log_batch(name, params=choices[batch : batch + MOST])
    client.log_artifact(name, str(path))
    client.set_terminated(name)
