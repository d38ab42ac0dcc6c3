"""What every command module offers."""

import argparse
from typing import Protocol


class Command(Protocol):
    """A module with these two functions."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...
