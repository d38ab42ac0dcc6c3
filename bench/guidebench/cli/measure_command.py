"""guidebench measure IMAGES --reference R."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guidebench.reports.record import MetricResult, Record


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", help="a folder, .zip, .npz, or a run's folder"
    )
    parser.add_argument(
        "--reference", required=True, help="a reference by name or file, or real images"
    )
    parser.add_argument(
        "--metrics",
        default="fid,fd_dinov2",
        metavar="NAME,...",
        help="default: fid,fd_dinov2; also fd_infinity, is, kid, cmmd, precision_recall, "
        "density_coverage, copies, and KIND:EXTRACTOR of each",
    )
    parser.add_argument("--out", type=Path, help="default: results/measured/IMAGES")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--workers", type=int, help="decoding processes; default: cores - 1, at most 8"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print and store a record."""
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.cli.words import decoding_workers  # noqa: PLC0415
    from guidebench.measure import find_device  # noqa: PLC0415
    from guidebench.measure.precision import keep_precision  # noqa: PLC0415
    from guidebench.metrics.names import measured_metric  # noqa: PLC0415
    from guidebench.runs.against import compared_with, require_measurable  # noqa: PLC0415
    from guidebench.runs.extractors import extractors_for  # noqa: PLC0415
    from guidebench.runs.measurement import measure_images  # noqa: PLC0415
    from guidebench.runs.run_images import open_any  # noqa: PLC0415

    metrics = [measured_metric(name) for name in dict.fromkeys(args.metrics.split(","))]
    source = open_any(args.images)
    out = args.out or Path("results") / "measured" / args.images.name
    require_measurable(source, args.reference, metrics, out)
    device = find_device() if args.device == "auto" else args.device
    workers = decoding_workers(args.workers)
    keep_precision()  # as a run's ranks do
    extractors = extractors_for(metrics, device)
    with ProgressLine("measure") as line:

        def show(what: str, done: int, total: int) -> None:
            line.show(done, total, what)

        against = compared_with(args.reference, extractors, metrics, workers=workers, progress=show)
        made = measure_images(
            source, against, metrics, extractors, out, workers=workers, progress=show
        )
    _print(made)
    print(out / "record.json")
    return 0


def _covered(found: "MetricResult") -> str:
    usual = type(found).model_fields["interval_covers"].default
    at_this = f"its mean at N = {found.num_images}"
    return at_this if found.interval_covers == usual else found.interval_covers


def _print(record: "Record") -> None:
    width = max(len(name) for name in record.metrics)
    for name, found in record.metrics.items():
        low, high = found.interval_95
        floor = "" if found.noise_floor is None else f"  perfect sampler {found.noise_floor:.4g}"
        mark = "" if found.features and found.features.comparable else "  (untrained features)"
        print(
            f"{name:<{width}}  {found.value:.6g} +- {found.standard_error:.2g}"
            f"  95 % of {_covered(found)}: [{low:.4g}, {high:.4g}]{floor}{mark}"
        )
        if fixed := found.corrected:
            low, high = fixed.interval_95
            print(
                f"{'':<{width}}  {fixed.value:.6g} +- {fixed.standard_error:.2g} without its bias "
                f"({fixed.blocks} jackknife blocks), 95 % of its limit: [{low:.4g}, {high:.4g}]"
            )
