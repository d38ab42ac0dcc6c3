"""guidebench reference show NAME."""

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("reference", metavar="NAME", help="a name in the cache, or a file")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """Print where it came from and what it fits."""
    from guidebench.runs.references import described, find_reference  # noqa: PLC0415

    found = described(find_reference(args.reference))
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    width = max(map(len, found))
    for name, value in found.items():
        text = json.dumps(value) if isinstance(value, dict | list) else value
        print(f"{name:<{width}}  {text}")
    return 0
