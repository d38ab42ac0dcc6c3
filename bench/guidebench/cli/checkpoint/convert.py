"""guidebench checkpoint convert."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""


def run(args: argparse.Namespace) -> int:
    """Do it."""
    raise NotImplementedError
