"""guidebench reference ACTION: one module an action, in `guidebench.cli.reference`."""

import argparse
import importlib
from typing import Final, cast

from guidebench.cli._protocol import Command

ACTIONS: Final[dict[str, str]] = {
    "build": "statistics of your own images: a folder, .zip or .npz",
    "import": "statistics that others published: EDM2 .pkl, or .npz of EDM, ADM, pytorch-fid",
    "export": "a reference as EDM2 .pkl or EDM .npz, for other tools",
    "list": "references in the cache",
    "show": "where a reference came from, and what it fits",
}
_MODULES: Final = {"import": "import_", "list": "list_"}


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
    module = f"guidebench.cli.reference.{_MODULES.get(action, action)}"
    return cast("Command", importlib.import_module(module))
