"""guidebench list [what]."""

import argparse
import json
from collections.abc import Callable
from typing import Final

Entry = dict[str, object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("what", nargs="?", choices=sorted(_LISTS), default="rows")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """Print one line each."""
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


def _metrics() -> list[Entry]:
    from guidebench.runs.domains import metric_names  # noqa: PLC0415

    return [
        {"name": name, "text": f"{domain}: {text}", "suite": domain}
        for domain, made in metric_names().items()
        for name, text in made.items()
    ]


def _features() -> list[Entry]:
    from guidebench.checkpoints.builtin import builtin_networks  # noqa: PLC0415

    known = builtin_networks()["digits-classifier"]
    return [
        {
            "name": "digits-classifier",
            "text": f"64 features of 8x8 digits, held-out accuracy "
            f"{known.checks['held_out_accuracy']:.1%}",
            "sha256": known.sha256,
        }
    ]


_LISTS: Final[dict[str, Callable[[], list[Entry]]]] = {
    "suites": _suites,
    "rows": _rows,
    "schemes": _schemes,
    "networks": _networks,
    "metrics": _metrics,
    "features": _features,
}
