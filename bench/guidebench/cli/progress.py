"""Progress: a bar on a terminal, plain lines otherwise; always on stderr."""

import sys
import time
from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 5.0


@final
class ProgressLine:
    """Shows `done` of `total` with what was done last."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = self._said = 0.0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[what]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int, text: str) -> None:
        """Update; without a terminal, a line at the start, at the end and every few seconds."""
        if self._bar is not None:
            if not self._bar.tasks:
                self._bar.add_task(text, total=total, what=self.what)
            self._bar.update(self._bar.tasks[0].id, completed=done, total=total, description=text)
            return
        now = time.monotonic()
        if done in {0, total} or now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            seconds = now - self._began
            print(
                f"{self.what} {done}/{total} {seconds:5.0f} s  {text}",
                file=sys.stderr,
                flush=True,
            )

    def warn(self, text: str) -> None:
        """Say something that stays to be read."""
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(f"{self.what}: {text}", file=sys.stderr, flush=True)
