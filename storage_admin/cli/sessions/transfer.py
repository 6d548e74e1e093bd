"""What is shown while many sessions are read or written."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from storage_admin.cli.progress import LINE_SECONDS, lines_or_bar
from storage_admin.cli.talk import voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Told = Callable[[int, int | None, int], None]

SHORT = 0.5  # seconds, in which a person needs no bar


@contextmanager
def transfer_progress(what: str) -> Iterator[Told]:
    """A function to be told how far it is: a bar on a terminal, a line every ten seconds in a log."""
    with lines_or_bar(_Lines, _Bar, what) as told:
        yield told


class _Lines:
    def __init__(self, what: str) -> None:
        self.what, self.started, self.said = what, time.monotonic(), time.monotonic()

    def __call__(self, done: int, total: int | None, size: int) -> None:
        from storage_admin.cli.output import size_text

        now = time.monotonic()
        if now - self.said < LINE_SECONDS:
            return
        self.said = now
        rate = done / (now - self.started)
        left = f", about {(total - done) / rate:.0f} s left" if total and total > done and rate else ""
        of = f" of about {total:,}" if total else ""
        text = f"{self.what}: {done:,}{of} sessions, {size_text(size)}, {rate:,.0f} per second{left}"
        voice(text, event="progress", sessions=done, of=total, bytes=size)


class _Bar:
    def __init__(self, what: str) -> None:
        self.what, self.started, self.shown = what, time.monotonic(), 0.0
        self.bar: Any = None

    def __call__(self, done: int, total: int | None, size: int) -> None:
        from storage_admin.cli.output import size_text

        now = time.monotonic()
        if now - self.started < SHORT or now - self.shown < SHORT / 5:
            return
        self.shown = now
        if self.bar is None:
            self._start()
        known = max(total, done) if total else None
        rate = f"{size_text(size)}, {done / (now - self.started):,.0f} per second"
        self.bar.update(self.task, completed=done, total=known, rate=rate, done=f"{done:,} sessions")

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        texts = [TextColumn(f"{{task.{name}}}") for name in ("description", "fields[done]", "fields[rate]")]
        columns = (texts[0], BarColumn(), *texts[1:], TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task(self.what, total=None, rate="", done="")
        self.bar.start()

    def close(self) -> None:
        """As `Bar` of cli/progress.py."""
        if self.bar is not None:
            self.bar.stop()
