"""guidebench run SUITE[::ROW ...]."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench.base import UserError, atomic_write, make_folder, sha256_bytes, sha256_file
from guidebench.cli.place import Place
from guidebench.engines import ENGINES, choose_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guidebench.engines import EngineName
    from guidebench.engines.choice import Asked
    from guidebench.reports.store import StoredRecord
    from guidebench.runs.folder import Job
    from guidebench.runs.runner import Event
    from guidebench.runs.spec import RunSpec

_REPORT_STATE = ".report-sha256"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("names", nargs="+", metavar="SUITE[::ROW ...]", help="e.g. fractal digits")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument(
        "--streams", type=int, choices=[1, 2], default=1,
        help="2: networks of a recorded step side by side on the GPU",
    )  # fmt: skip
    parser.add_argument("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto")
    parser.add_argument(
        "--num", type=int, metavar="N", help="images per row, instead of the suite's"
    )
    parser.add_argument("--seeds", type=int, metavar="FIRST", help="first seed")
    parser.add_argument(
        "--repeats", type=int, metavar="K", help="sets of N images, on further seeds"
    )
    parser.add_argument(
        "--processes", "--ranks", type=int, metavar="K", dest="processes",
        help="worker processes; default: one a core or GPU. Under torchrun each rank is one",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Finish every row, print the tables and write the report."""
    place = Place.found(os.environ)
    try:
        return _run(args, place)
    except UserError as error:
        if not place.speaks_for_its_node and not place.at_work:
            return 2  # the first rank of this node says the same
        msg = f"{place.name}{error}"
        raise type(error)(msg) from error


def _run(args: argparse.Namespace, place: "Place") -> int:
    from guidebench.runs.runner import run_here, run_jobs  # noqa: PLC0415

    began = time.monotonic()
    jobs = _jobs(args)
    processes = _processes(args.processes, jobs[0].row.spec.device, place)
    make_folder(args.out)
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415  after the cheap checks

    if place.is_first:
        sampled = [job.row.spec for job in jobs if job.row.spec.source == "sampler"]
        print(*dict.fromkeys(map(_engine_words, sampled)), sep="\n", flush=True)
    place.at_work = True
    with ProgressLine("run") as line:

        def report(event: "Event") -> None:
            if event.warning:
                line.warn(event.text)
            elif place.is_first:
                line.show(event.done, event.total, event.text)

        if place.is_rank:
            run_here(jobs, local_rank=place.local_rank, world=place.world, report=report)
        else:
            run_jobs(jobs, ranks=processes, report=report)
    if place.is_first:
        _print_tables(jobs)
        _write_report(args.out)
        print(f"{args.out / 'report.html'}  ({time.monotonic() - began:.0f} s)")
    return 0


def _jobs(args: argparse.Namespace) -> "list[Job]":
    from guidebench.measure import find_device  # noqa: PLC0415
    from guidebench.runs.catalog import select  # noqa: PLC0415
    from guidebench.runs.folder import make_job  # noqa: PLC0415
    from guidebench.runs.worker import THREADS_PER_RANK  # noqa: PLC0415

    for flag, value, least in (("--num", args.num, 2), ("--repeats", args.repeats, 1)):
        if value is not None and value < least:
            why = "; a standard error needs two images" if flag == "--num" else ""
            msg = f"{flag} must be at least {least}, got {value}{why}"
            raise UserError(msg)
    rows = select(args.names)
    found = find_device() if args.device in {"auto", "cuda"} else "cpu"
    if args.device == "cuda" and found != "cuda":
        msg = "--device cuda was asked for, but no CUDA device can be used; try --device cpu"
        raise UserError(msg)
    given = {"num_images": args.num, "first_seed": args.seeds, "repeats": args.repeats}
    options = {key: value for key, value in given.items() if value is not None}

    def asked_for(spec: "RunSpec") -> "RunSpec":
        precision = _precision(args.precision, found, spec)
        changed = spec.with_options(**options, device=found, precision=precision, engine="eager")
        return _with_engine(changed, args.engine, spec.engine, args.streams)

    changed = [row.model_copy(update={"spec": asked_for(row.spec)}) for row in rows]
    return [make_job(row, args.out, threads=THREADS_PER_RANK) for row in changed]


def _with_engine(
    spec: "RunSpec", asked: "Asked", in_suite: "EngineName", streams: int
) -> "RunSpec":
    """What was asked for, else what the suite insists on, else what pays on this device."""
    if spec.source == "data":
        return spec
    chosen = choose_engine(
        in_suite if asked == "auto" and in_suite != "eager" else asked,
        device=spec.device,
        precision=spec.precision,
        random_inside=spec.random_inside,
    )
    if streams == 2 and not chosen.engine.startswith("cuda-graph"):
        msg = f"--streams 2 belongs to engine cuda-graph, and this row runs {chosen.engine}"
        raise UserError(msg)
    return spec.with_options(
        engine=chosen.engine,
        engine_reason=chosen.reason,
        streams=2 if streams == 2 else None,
    )


def _engine_words(spec: "RunSpec") -> str:
    return f"engine {spec.engine}" + (f" ({spec.engine_reason})" if spec.engine_reason else "")


def _precision(asked: str, device: str, spec: "RunSpec") -> str:
    """What was asked for; else fp16 where the published networks use it, on a GPU."""
    if asked != "auto":
        return asked
    return "fp16" if device == "cuda" and spec.domain == "images" else spec.precision


def _processes(asked: int | None, device: str, place: "Place") -> int:
    if asked is not None:
        if asked < 1:
            msg = f"--processes must be at least 1, got {asked}"
            raise UserError(msg)
        if place.is_rank:
            msg = f"torchrun started this rank already; leave out --processes {asked}"
            raise UserError(msg)
        return asked
    if device == "cuda" and not place.is_rank:
        import torch  # noqa: PLC0415

        return torch.cuda.device_count()
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _stored(paths: "Sequence[Path]") -> "list[StoredRecord]":
    from guidebench.reports.store import find_records  # noqa: PLC0415

    return find_records(paths)


def _print_tables(jobs: "Sequence[Job]") -> None:
    from rich.console import Console  # noqa: PLC0415

    from guidebench.reports.render import terminal  # noqa: PLC0415
    from guidebench.reports.tables import build_tables  # noqa: PLC0415

    console = Console()
    width = console.width if sys.stdout.isatty() else 100
    console = Console(width=width)
    suites = dict.fromkeys(job.row.suite for job in jobs)
    for suite in suites:
        folders = [job.folder for job in jobs if job.row.suite == suite]
        for table in build_tables(_stored(folders)):
            console.print(terminal(table, width))


def _write_report(out: Path) -> None:
    """One page over all records in `out`; left alone where it shows them already."""
    records = _stored([out])
    files = sorted(f"{r.path.relative_to(out)} {sha256_file(r.path)}" for r in records)
    state = sha256_bytes("\n".join(files).encode())
    marker = out / _REPORT_STATE
    if (out / "report.html").is_file() and marker.is_file() and marker.read_text() == state:
        return
    from guidebench.reports.page import write_report  # noqa: PLC0415

    write_report(records, out, title="guidebench")
    atomic_write(marker, state.encode())
