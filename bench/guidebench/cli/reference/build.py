"""guidebench reference build IMAGES --name NAME."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("images", type=Path, metavar="IMAGES", help="a folder, .zip or .npz")
    parser.add_argument("--name", help="default: the name of IMAGES")
    parser.add_argument(
        "--metrics",
        default="fid,fd_dinov2",
        metavar="NAME,...",
        help="default: fid,fd_dinov2; also fd:EXTRACTOR",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--workers", type=int, help="decoding processes; default: cores - 1, at most 8"
    )


def run(args: argparse.Namespace) -> int:
    """Build, or say that it is there; a killed build goes on from its last few thousand images."""
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.cli.words import decoding_workers  # noqa: PLC0415
    from guidebench.measure import find_device  # noqa: PLC0415
    from guidebench.measure.precision import keep_precision  # noqa: PLC0415
    from guidebench.metrics.names import image_metric  # noqa: PLC0415
    from guidebench.runs.references import Build  # noqa: PLC0415
    from guidebench.runs.run_images import open_any  # noqa: PLC0415

    metrics = [image_metric(name) for name in dict.fromkeys(args.metrics.split(","))]
    device = find_device() if args.device == "auto" else args.device
    workers = decoding_workers(args.workers)
    source = open_any(args.images)
    keep_precision()  # as a run's ranks do
    job = Build(source, metrics, args.name or args.images.stem, device)
    with ProgressLine("build") as line:

        def show(done: int, total: int) -> None:
            line.show(done, total, source.path.name)

        there = job.is_there(workers, show)
        made = None if there else job.run(workers, show)
    if made is None:
        print(f"{job.path} was built from these images already")
        return 0
    height, width = made.resolution or (0, 0)
    print(f"{job.path}: {made.num_images:,} images of {width} x {height}, key {made.key}")
    return 0
