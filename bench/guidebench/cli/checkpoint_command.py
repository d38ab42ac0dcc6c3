"""guidebench checkpoint ACTION: one module an action, in `guidebench.cli.checkpoint`."""

import argparse
import importlib
from typing import Final, cast

from guidebench.cli._protocol import Command

ACTIONS: Final[dict[str, str]] = {
    "inspect": "what a checkpoint file holds: network, sizes, digests; nothing in it is run",
    "convert": "an official pickle to safetensors, read without running its code",
    "fetch": "download published networks and references by name, verified, and convert them",
    "ema": "average snapshots to any EMA length after training (post-hoc EMA)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command an action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in ACTIONS.items():
        sub = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        _load(name).configure(sub)


def run(args: argparse.Namespace) -> int:
    """Do the action asked for."""
    return _load(args.action).run(args)


def _load(action: str) -> Command:
    return cast("Command", importlib.import_module(f"guidebench.cli.checkpoint.{action}"))
