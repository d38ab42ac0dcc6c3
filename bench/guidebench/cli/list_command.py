"""guidebench list [what]."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from guidebench.base import UserError
from guidebench.cli.words import size_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guidebench.runs.inventory import Inventory, Item

Entry = dict[str, object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("what", nargs="?", choices=sorted(_LISTS), default="rows")
    parser.add_argument(
        "--suite",
        action="append",
        metavar="SUITE[::ROW ...]",
        help="rows of this suite, and the files that they need; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """Print one line each."""
    if args.suite and args.what != "rows":
        msg = f"--suite belongs to `list rows`, got `list {args.what}`"
        raise UserError(msg)
    if args.suite:
        return _rows_with_files(args.suite, as_json=args.json)
    entries = _LISTS[args.what]()
    if args.json:
        print(json.dumps(entries, indent=2))
        return 0
    width = max(len(str(e["name"])) for e in entries)
    for entry in entries:
        print(f"{entry['name']:<{width}}  {entry['text']}")
    return 0


def _suites() -> list[Entry]:
    from guidebench.runs.catalog import SUITES, load_suite  # noqa: PLC0415

    found = {name: load_suite(name) for name in SUITES}
    return [
        {"name": name, "text": rows[0].suite_title, "rows": len(rows)}
        for name, rows in found.items()
    ]


def _rows() -> list[Entry]:
    from guidebench.runs.catalog import SUITES, load_suite  # noqa: PLC0415

    return [
        {"name": row.label, "text": row.spec.title, "role": row.spec.role}
        for name in SUITES
        for row in load_suite(name)
    ]


def _rows_with_files(suites: "Sequence[str]", *, as_json: bool) -> int:
    from guidebench.runs.catalog import select  # noqa: PLC0415
    from guidebench.runs.inventory import inventory  # noqa: PLC0415

    rows = select(suites)
    found = inventory(rows)
    if as_json:
        print(json.dumps({
            "rows": [
                {"name": row.label, "text": row.spec.title, "role": row.spec.role,
                 "published": {k: v.model_dump() for k, v in row.spec.published.items()},
                 "files": found.of_row[row.label]} for row in rows
            ],
            "files": [dataclasses.asdict(item) for item in found.items.values()],
        }, indent=2))  # fmt: skip
        return 0
    width = max(len(row.label) for row in rows)
    for row in rows:
        told = ", ".join(f"{name} {p.value:g}" for name, p in row.spec.published.items())
        text = f"{row.spec.title}{': published ' if told else ''}{told}"
        print(f"{row.label:<{width}}  {_state(found.not_present(row.label)):<22}  {text}")
    if found.items:
        _print_files(found, " ".join(suites))
    return 0


def _state(not_present: "Sequence[Item]") -> str:
    if not not_present:
        return "ready"
    missing = [item for item in not_present if item.state == "missing"]
    if not missing:
        return f"to convert {len(not_present)}"
    return f"missing {len(missing)}, {_total(missing)}"


def _total(items: "Sequence[Item]") -> str:
    known = [item.bytes for item in items if item.bytes is not None]
    words = size_words(sum(known), known=all(item.exact for item in items))
    return words if len(known) == len(items) else f"{words} and more"


def _print_files(found: "Inventory", suites: str) -> None:
    width = max(len(name) for name in found.items)
    print()
    for item in found.items.values():
        size = size_words(item.bytes, known=item.exact)
        print(f"{item.name:<{width}}  {item.kind:<9}  {item.state:<10}  {size:>8}{_made_of(item)}")
    not_present = found.not_present()
    missing = [item for item in not_present if item.state == "missing"]
    if not_present:
        print(f"\n{len(missing)} of {len(found.items)} files are missing, {_total(missing)}, "
              f"{len(not_present) - len(missing)} to convert; "
              f"`guidebench checkpoint fetch --suite {suites}` does both")  # fmt: skip
    if made := sum(1 for item in missing if item.snapshots):
        print(f"{made} of them may not be published; --reconstruct makes those from raw snapshots")


def _made_of(item: "Item") -> str:
    if not item.snapshots or item.state != "missing":
        return ""
    size = size_words(item.snapshot_bytes, known=False)
    return f"  if not published: from {item.snapshots} snapshots, {size}, {item.snapshots_url}"


def _schemes() -> list[Entry]:
    from guidebench.guidance import SCHEMES  # noqa: PLC0415

    return [{"name": n, "text": (f.__doc__ or "").splitlines()[0]} for n, f in SCHEMES.items()]


def _networks() -> list[Entry]:
    from guidebench.checkpoints.builtin import builtin_networks  # noqa: PLC0415

    return [
        {
            "name": name,
            "text": f"{p.parameters} parameters, {p.iterations} iterations, {p.sha256[:12]}",
            "sha256": p.sha256,
        }
        for name, p in builtin_networks().items()
    ]


def _downloads() -> list[Entry]:
    from guidebench.checkpoints.cache import entry_status  # noqa: PLC0415
    from guidebench.checkpoints.catalog import catalog_entries  # noqa: PLC0415

    found: list[Entry] = []
    for name, entry in catalog_entries().items():
        status = entry_status(entry)
        known = status.state != "missing" or entry.size_is_known
        size = size_words(status.bytes, known=known)
        text = f"{entry.kind}, {status.state}, {size}, {entry.licence.name}"
        found.append({"name": name, "text": text, "kind": entry.kind, "state": status.state})
    return found


def _metrics() -> list[Entry]:
    from guidebench.runs.domains import metric_names  # noqa: PLC0415

    return [
        {"name": name, "text": f"{domain}: {text}", "suite": domain}
        for domain, made in metric_names().items()
        for name, text in made.items()
    ]


def _features() -> list[Entry]:
    from guidebench.checkpoints.builtin import builtin_networks  # noqa: PLC0415
    from guidebench.checkpoints.cache import entry_status  # noqa: PLC0415
    from guidebench.checkpoints.catalog import catalog_entries  # noqa: PLC0415
    from guidebench.metrics.names import DIGITS, own_extractors  # noqa: PLC0415

    known = builtin_networks()["digits-classifier"]
    accuracy = known.checks["held_out_accuracy"]
    found: list[Entry] = [
        {
            "name": DIGITS,
            "text": f"64 features of 8x8 digits, held-out accuracy {accuracy:.1%}",
            "sha256": known.sha256,
        }
    ]
    for name, entry in catalog_entries().items():
        if entry.kind == "features":
            state = entry_status(entry).state
            text = f"{state}, {entry.licence.name}; untrained:{name} for tests"
            found.append({"name": name, "text": text, "sha256": entry.files[0].sha256})
    for name, own in own_extractors().items():
        package = f"{own.dist.name} {own.dist.version}" if own.dist else "unknown package"
        found.append({"name": name, "text": f"{own.value}, from {package}", "sha256": None})
    return found


_LISTS: Final[dict[str, Callable[[], list[Entry]]]] = {
    "suites": _suites,
    "rows": _rows,
    "schemes": _schemes,
    "networks": _networks,
    "downloads": _downloads,
    "metrics": _metrics,
    "features": _features,
}
