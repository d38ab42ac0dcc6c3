"""guidebench reference list."""

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """One line each."""
    from guidebench.runs.references import described, stored_references  # noqa: PLC0415

    found = {path.stem: described(path) for path in stored_references()}
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print("no references yet; `guidebench reference build` or `import` makes one")
    for name, facts in found.items():
        key = f", key {facts['key'][:12]}" if facts["key"] else ""
        num = "an unknown number of" if facts["num_images"] is None else f"{facts['num_images']:,}"
        print(f"{name}: {', '.join(facts['statistics'])}; {num} images{key}")
    return 0
