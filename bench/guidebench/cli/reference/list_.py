"""guidebench reference list."""

import argparse
import json

from guidebench.base import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """One line each."""
    from guidebench.runs.references import described, stored_references  # noqa: PLC0415

    found, broken = {}, []
    for path in stored_references():
        try:
            found[path.stem] = described(path)
        except UserError as error:  # one damaged file hides no other
            broken.append(str(error))
    if args.json:
        print(json.dumps(found | ({"unreadable": broken} if broken else {}), indent=2))
        return 0
    for sentence in broken:
        print(sentence)
    if not found and not broken:
        print("no references yet; `guidebench reference build` or `import` makes one")
    for name, facts in found.items():
        key = f", key {facts['key'][:12]}" if facts["key"] else ""
        num = "an unknown number of" if facts["num_images"] is None else f"{facts['num_images']:,}"
        print(f"{name}: {', '.join(facts['statistics'])}; {num} images{key}")
    return 0
