"""guidebench reference ACTION."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""


def run(args: argparse.Namespace) -> int:
    """Do it."""
    raise NotImplementedError
