"""Records in other tools, read back with those tools themselves."""

import importlib
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.reports.export import TARGETS, export, require, wandb_runs
from guidebench.reports.export.flat import flatten
from guidebench.reports.groups import group_records
from guidebench.reports.store import StoredRecord
from tests.full_disk import room_for


def library(module: str) -> Any:  # noqa: ANN401 - a module that may be missing
    """A tool's own module; the test is skipped where it is not installed."""
    return pytest.importorskip(module, reason=f"{module} is not installed: nox -s exports has it")


@pytest.fixture(scope="module")
def rows(digits: list[StoredRecord]) -> list[StoredRecord]:
    return [r for r in digits if r.record.row in {"real", "none", "autoguidance"}]


def test_importing_exports_nothing_heavy() -> None:
    heavy = "{'numpy', 'pyarrow', 'mlflow', 'wandb', 'tensorboard', 'huggingface_hub', 'yaml'}"
    code = f"import sys, guidebench.reports.export; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_target_has_a_writer() -> None:
    for target in TARGETS.values():
        module = importlib.import_module(f"guidebench.reports.export.{target.module}")
        assert callable(module.write)


def test_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"wandb needs wandb .*: pip install 'guidebench\[wandb\]'"):
        require("wandb", "wandb")


def test_unknown_target(rows: list[StoredRecord], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"parquet, model-index, mlflow, .* not to excel"):
        export(rows, "excel", tmp_path)


def test_flat_record_names_choices_and_numbers(rows: list[StoredRecord]) -> None:
    stored = next(r for r in rows if r.record.row == "autoguidance")
    flat = flatten(stored)
    result = stored.record.metrics["fd_digits"]
    assert flat.metrics["fd_digits"] == result.value
    assert flat.metrics["fd_digits.standard_error"] == result.standard_error
    assert flat.metrics["cost.network_calls_per_image"] == 70
    assert "cost.energy_joules_per_image" not in flat.metrics  # null, not nan
    assert flat.params["curves.Autoguidance.weight"] == 2.0
    assert flat.params["sampler.name"] == "heun"
    assert flat.tags["machine"] == "AMD EPYC 7B13"
    assert flat.tags["command"].startswith("guidebench run digits::autoguidance ")


def test_parquet_gives_back_every_number(rows: list[StoredRecord], tmp_path: Path) -> None:
    parquet = library("pyarrow.parquet")
    export(rows, "parquet", tmp_path)
    lines = parquet.read_table(tmp_path / "metrics.parquet").to_pylist()
    found = {(line["row"], line["metric"]): line for line in lines}
    assert len(found) == len(lines) == sum(len(r.record.metrics) for r in rows)
    seeds = parquet.read_table(tmp_path / "per_seed.parquet").to_pydict()
    influence, row_of, metric_of = (np.array(seeds[k]) for k in ("influence", "row", "metric"))
    for stored in rows:
        for name, result in stored.record.metrics.items():
            line = found[stored.record.row, name]
            assert (line["value"], line["noise_floor"]) == (result.value, result.noise_floor)
            assert line["repeats"] == list(result.repeats)
            assert line["machine"] == "AMD EPYC 7B13"
            mine = (row_of == stored.record.row) & (metric_of == name)
            assert np.array_equal(influence[mine], stored.influence(name))
            error = influence[mine].std(ddof=1) / np.sqrt(mine.sum())
            assert error == pytest.approx(line["standard_error"], rel=1e-12)
            assert np.array_equal(np.array(seeds["seed"])[mine], np.arange(mine.sum()))


def test_parquet_without_its_arrays_leaves_nothing_half(
    rows: list[StoredRecord], tmp_path: Path
) -> None:
    library("pyarrow")
    lost = StoredRecord(path=tmp_path / "gone" / "record.json", record=rows[0].record)
    with pytest.raises(UserError, match="is not readable"):
        export([rows[1], lost], "parquet", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_model_index_is_read_by_the_hub(rows: list[StoredRecord], tmp_path: Path) -> None:
    hub, yaml = library("huggingface_hub"), library("yaml")
    export(rows, "model-index", tmp_path, "digits-net")
    text = (tmp_path / "model-index.yaml").read_text(encoding="utf-8")
    card = hub.ModelCard(f"---\n{text}---\n# digits-net\n", ignore_metadata_errors=False)
    results = {(r.dataset_config, r.metric_type): r for r in card.data.eval_results}
    measured = [r for r in rows if r.record.role != "truth"]
    assert len(results) == sum(len(r.record.metrics) for r in measured)
    for stored in measured:
        config = f"{stored.record.row}-{stored.record.spec_sha256[:12]}"
        for name, result in stored.record.metrics.items():
            entry = results[config, name]
            assert entry.metric_value == result.value
            assert entry.metric_args["interval_95"] == list(result.interval_95)
    assert yaml.safe_load(text)["model-index"][0]["name"] == "digits-net"


def test_tensorboard_reads_scalars_and_choices(rows: list[StoredRecord], tmp_path: Path) -> None:
    events = library("tensorboard.backend.event_processing.event_accumulator")
    metadata = library("tensorboard.plugins.hparams.metadata")
    for _ in range(2):  # a second export replaces the first
        export(rows, "tensorboard", tmp_path)
    for stored in rows:
        record = stored.record
        folder = tmp_path / record.suite / record.row / record.spec_sha256[:12]
        assert len(list(folder.iterdir())) == 1
        read = events.EventAccumulator(str(folder)).Reload()
        (scalar,) = read.Scalars("fd_digits")
        assert scalar.value == pytest.approx(record.metrics["fd_digits"].value, rel=1e-6)
        content = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        start = metadata.parse_session_start_info_plugin_data(content)
        assert start.hparams["row"].string_value == record.row
    table = events.EventAccumulator(str(tmp_path / "experiment")).Reload()
    content = table.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    assert [m.name.tag for m in experiment.metric_infos] == sorted(rows[1].record.metrics)


@pytest.mark.slow  # its database is made by some sixty migrations
def test_mlflow_holds_each_record_once(
    rows: list[StoredRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: importing mlflow changes warnings and logging of the importer."""
    library("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = [str(r.path) for r in rows]
    code = (
        "import sys; from pathlib import Path; from guidebench.reports.export import export; "
        "from guidebench.reports.store import find_records; "
        "records = find_records([Path(p) for p in sys.argv[2:]])\n"
        "for _ in range(2): print(export(records, 'mlflow', Path(sys.argv[1]))[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *paths],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second = done.stdout.splitlines()[-2:]
    assert first.endswith("3 runs in guidebench, 0 were there already")
    assert second.endswith("0 runs in guidebench, 3 were there already")
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        value = base.execute(
            "select m.value from latest_metrics m join params p on m.run_uuid = p.run_uuid "
            "where m.key = 'fd_digits' and p.key = 'row' and p.value = 'none'"
        ).fetchall()
    base.close()
    stored = next(r for r in rows if r.record.row == "none")
    assert value == [(pytest.approx(stored.record.metrics["fd_digits"].value),)]
    assert len(list(tmp_path.rglob("mlartifacts/**/record.json"))) == 3


@pytest.mark.parametrize("target", ["parquet", "model-index", "tensorboard"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    target: str, rows: list[StoredRecord], tmp_path: Path
) -> None:
    library({"parquet": "pyarrow", "model-index": "huggingface_hub"}.get(target, target))
    out = tmp_path / "out"
    with room_for(100), pytest.raises(UserError, match=r"cannot write .*; name another folder"):
        export(rows, target, out)
    assert not [path for path in out.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_mlflow_goes_on_after_a_full_disk(
    rows: list[StoredRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow itself cannot: half of its tables keep it from making the others."""
    library("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = (
        "import sys; from pathlib import Path; from guidebench.base import UserError\n"
        "from guidebench.reports.export import export; from tests.full_disk import room_for\n"
        "from guidebench.reports.store import find_records\n"
        "out, records = Path(sys.argv[1]), find_records([Path(sys.argv[2])])\n"
        "try:\n"
        "    with room_for(100_000): export(records, 'mlflow', out)\n"
        "except UserError as error: refused = str(error)\n"
        "left = list(out.iterdir())\n"
        "print(refused, left, *export(records, 'mlflow', out), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(rows[0].path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    refused, left, made = done.stdout.splitlines()[-3:]
    assert refused.startswith(f"MLflow cannot write to {tmp_path}: ")
    assert left == "[]"
    assert made.endswith("1 runs in guidebench, 0 were there already")


def test_wandb_says_nothing_of_a_full_disk_so_it_is_asked(
    rows: list[StoredRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the library: the disk is full once its process has written a run."""
    with ExitStack() as stack:
        run = SimpleNamespace(summary={}, finish=lambda: stack.enter_context(room_for(100)))
        library = SimpleNamespace(init=lambda **_: run, Settings=lambda **_: None)
        monkeypatch.setattr(wandb_runs, "require", lambda *_: library)
        with pytest.raises(UserError, match=r"cannot write .*; name another folder or make room"):
            export(rows[:1], "wandb", tmp_path)


def test_wandb_writes_offline_runs(rows: list[StoredRecord], tmp_path: Path) -> None:
    """In a process of its own, without a network; the files are those that `wandb sync` sends."""
    library("wandb")
    code = (
        "import sys; from pathlib import Path; from guidebench.reports.export import export; "
        "from guidebench.reports.store import find_records; "
        "print(export(find_records([Path(sys.argv[2])]), 'wandb', Path(sys.argv[1]))[0])"
    )
    stored = next(r for r in rows if r.record.row == "none")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(stored.path)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert "1 runs (offline)" in done.stdout
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert file.name == f"run-{flatten(stored).digest[:32]}.wandb"
    data = file.read_bytes()
    for word in (b"fd_digits", b"digits::none", b"guidebench run digits::none"):
        assert word in data


def test_exports_keep_machines_apart(rows: list[StoredRecord], tmp_path: Path) -> None:
    """The same row from two machines: two lines, each with its machine."""
    parquet = library("pyarrow.parquet")
    stored = next(r for r in rows if r.record.row == "none")
    environment = stored.record.environment | {"gpu": "H100"}
    other = stored.record.model_copy(update={"environment": environment})
    both = [stored, StoredRecord(path=stored.path, record=other)]
    assert len(group_records(both)) == 2
    export(both, "parquet", tmp_path)
    lines = parquet.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert {line["machine"] for line in lines} == {"AMD EPYC 7B13", "H100"}
