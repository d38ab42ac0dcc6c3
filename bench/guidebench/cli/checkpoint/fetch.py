"""guidebench checkpoint fetch NAME ... [--suite SUITE[::ROW ...]]."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from guidebench.base import CACHE, DiskError, UserError, cache_folder
from guidebench.cli.words import size_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guidebench.checkpoints.cache import Status
    from guidebench.checkpoints.catalog import Entry, RemoteFile
    from guidebench.checkpoints.download import Downloader
    from guidebench.cli.progress import ProgressLine

_MB: Final = 1_000_000
_CONVERTED: Final = {"network", "reference"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="e.g. img64 inception")
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        metavar="SUITE[::ROW ...]",
        help="all files that these rows need; may be given again",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument(
        "--reconstruct",
        action="store_true",
        help="make networks that are not published from raw snapshots (many gigabytes)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the plan, download what is missing, convert it."""
    from guidebench.checkpoints.cache import entry_status  # noqa: PLC0415

    entries = _entries(args.names, args.suite)
    plan = [(entry, entry_status(entry)) for entry in entries]
    _print_plan(plan)
    todo = [(entry, found) for entry, found in plan if found.state != "present"]
    if args.dry_run or not todo:
        return 0
    _check_room(todo)
    return _fetch([entry for entry, _ in todo], make=args.reconstruct)


def _entries(names: "Sequence[str]", suites: "Sequence[str]") -> "list[Entry]":
    """What was asked for, each once."""
    from guidebench.checkpoints.catalog import find_entry  # noqa: PLC0415

    if not names and not suites:
        msg = "nothing was asked for; give names (`guidebench list downloads`), or --suite SUITE"
        raise UserError(msg)
    wanted = dict.fromkeys([*names, *(_needed_by(suites) if suites else ())])
    if not wanted:
        print(f"{', '.join(suites)}: needs no published file")
    return [find_entry(name) for name in wanted]


def _needed_by(suites: "Sequence[str]") -> list[str]:
    """Names of all files that the suites' rows need, but for files of the user's own."""
    from guidebench.runs.catalog import select  # noqa: PLC0415
    from guidebench.runs.inputs import inputs_of  # noqa: PLC0415

    needed = [need for row in select(suites) for need in inputs_of(row.spec)]
    return [need.name for need in needed if str(need.path) != need.name]


def _print_plan(plan: "Sequence[tuple[Entry, Status]]") -> None:
    width = max((len(entry.name) for entry, _ in plan), default=0)
    for entry, found in plan:
        known = found.state != "missing" or entry.size_is_known
        size = size_words(found.bytes, known=known)
        where = found.path if found.state == "present" else entry.files[0].url
        print(f"{entry.name:<{width}}  {entry.kind:<9}  {found.state:<10}  {size:>8}  {where}")
    missing = [entry for entry, found in plan if found.state == "missing"]
    if missing:
        files = sum(len(entry.files) for entry in missing)
        sizes = [entry.expected_bytes for entry in missing]
        total = size_words(
            sum(size or 0 for size in sizes), known=all(e.size_is_known for e in missing)
        )
        more = " and more" if None in sizes else ""
        print(f"to download: {files} file{'s' * (files > 1)}, {total}{more}")


def _check_room(todo: "Sequence[tuple[Entry, Status]]") -> None:
    """Find out before the first byte whether the disk has room for downloads and conversions."""
    downloads = sum(e.expected_bytes or 0 for e, found in todo if found.state == "missing")
    converted = sum(e.expected_bytes or 0 for e, _ in todo if e.kind in _CONVERTED)
    folder = cache_folder()
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path())
    free = shutil.disk_usage(there).free
    if downloads + converted > free:
        msg = (
            f"{folder} needs {size_words(downloads + converted, known=False)} and has "
            f"{size_words(free, known=True)} free; make room there, or name another folder "
            f"by {CACHE}"
        )
        raise UserError(msg)


def _fetch(entries: "Sequence[Entry]", *, make: bool) -> int:
    from guidebench.checkpoints.download import Downloader, Reporting  # noqa: PLC0415
    from guidebench.checkpoints.lockfile import lock_path  # noqa: PLC0415
    from guidebench.checkpoints.transfer import NotThereError  # noqa: PLC0415
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415

    not_there: list[tuple[Entry, NotThereError]] = []
    with ProgressLine("fetch MB") as line:
        downloader = Downloader(reporting=Reporting(_Progress(line), _say))
        for entry in entries:
            try:
                _fetch_one(downloader, entry)
            except NotThereError as error:
                if make and not entry.listed:
                    _make(downloader, entry, line)
                    continue
                not_there.append((entry, error))
    print(f"digests: {lock_path()}")
    if not_there:
        raise UserError(" -- ".join(_how_to_make(entry, error) for entry, error in not_there))
    return 0


def _fetch_one(downloader: "Downloader", entry: "Entry") -> None:
    from guidebench.checkpoints.cache import ready_path  # noqa: PLC0415
    from guidebench.checkpoints.download import one_at_a_time  # noqa: PLC0415

    downloaded, ready = downloader.fetch(entry), ready_path(entry)
    if entry.kind in _CONVERTED and not ready.is_file():
        with one_at_a_time(ready.name, _say):
            if not ready.is_file():
                _convert(entry, downloaded[0], ready)
    print(f"{entry.name}: {ready}")


def _convert(entry: "Entry", downloaded: Path, ready: Path) -> None:
    from guidebench.checkpoints.lockfile import expected_sha256, lock_path  # noqa: PLC0415
    from guidebench.runs.conversion import convert_network, import_reference  # noqa: PLC0415

    try:
        if entry.kind == "network":
            convert_network(downloaded, ready, expected_sha256(entry.files[0]))
        else:
            import_reference(downloaded, ready)
    except DiskError:
        raise
    except UserError as error:
        msg = (
            f"{error}; where it is not the published file, delete it and its entry in "
            f"{lock_path()}, and fetch it again"
        )
        raise UserError(msg) from error


def _make(downloader: "Downloader", entry: "Entry", line: "ProgressLine") -> None:
    from guidebench.runs.published import FromSnapshots  # noqa: PLC0415

    assert entry.network is not None
    job = FromSnapshots(entry.network)
    _say(
        f"{entry.name} is not published: made from {len(job.made.urls)} raw snapshots, "
        f"{len(job.missing())} of them to download into {job.folder}"
    )
    job.fetch(lambda file: downloader.fetch_file(file, entry.licence), _say)
    made = job.reconstruct(line.show)
    if made.predicted is not None:
        print(f"{entry.name}: {made.path}, relative error of its profile {made.predicted:.1e}")


def _how_to_make(entry: "Entry", error: UserError) -> str:
    """One sentence on a file that is not there; a network may be made from others."""
    from guidebench.checkpoints.catalog import reconstruction  # noqa: PLC0415

    if entry.listed or entry.network is None:
        return str(error)
    made = reconstruction(entry.network)
    size = size_words(made.estimated_bytes, known=False)
    return (
        f"{entry.name} is not among the published presets, and {error}; or make it from the "
        f"{len(made.urls)} raw snapshots ({size}) in {made.folder_url} with `{made.command}`, or "
        "by --reconstruct here"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@final
class _Progress:
    """Shows megabytes, when they change."""

    def __init__(self, line: "ProgressLine") -> None:
        self._line = line
        self._shown: tuple[str, int] | None = None

    def __call__(self, file: "RemoteFile", done: int, total: int | None) -> None:
        whole = total or file.expected_bytes or done
        now = (file.file, -(-done // _MB))
        if now != self._shown:
            self._shown = now
            self._line.show(now[1], max(now[1], -(-whole // _MB)), Path(file.file).name)
