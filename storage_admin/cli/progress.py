"""What lasts is shown while it lasts: a bar on a terminal, a line now and then in a log. On stderr, as all talk."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from storage_admin.cli.talk import voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage_admin.locking import Waiting
    from storage_admin.reports import Outcome

    Told = Callable[[Outcome, int, int], None]

FEW = 20  # tables, of which a person needs no bar
LINE_SECONDS = 10


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """A function to be told of each table that is done."""
    with lines_or_bar(_Lines, _Bar, what) as told:
        yield told


def waiting(state: Waiting) -> None:
    """Say whom an upgrade waits for, while it does."""
    facts = {"table": state.table, "waited": round(state.seconds, 1), "left": round(state.left, 1)}
    voice(f"Waiting: {voice.redacted(str(state))}", event="waiting", level="warning", **facts)


class Bar(Protocol):
    """What is shown on a terminal."""

    def close(self) -> None:
        """Take it away: the result comes in its place."""


@contextmanager
def lines_or_bar(lines: Callable[[str], Any], bars: Callable[[str], Bar], what: str) -> Iterator[Any]:
    """A bar on a terminal, which is taken away at the end, whatever happens; else lines, or records for a program."""
    if voice.quiet or voice.json or not sys.stderr.isatty():
        yield lines(what)
        return
    bar = bars(what)
    try:
        yield bar
    finally:
        bar.close()


class _Lines:
    """A line every ten seconds."""

    def __init__(self, what: str) -> None:
        self.what, self.started, self.said, self.failed = what, time.monotonic(), time.monotonic(), 0

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        self.failed += outcome.error is not None
        if voice.json:
            _record(outcome, done, total)
            return
        now = time.monotonic()
        if now - self.said >= LINE_SECONDS and done < total:
            self.said = now
            rate = done / (now - self.started)
            failed = f", {self.failed:,} failed" if self.failed else ""
            left = f"about {(total - done) / rate:.0f} s left"
            voice(f"{self.what}: {done:,} of {total:,} tables{failed}, {rate:.0f} per second, {left}")


def _record(outcome: Outcome, done: int, total: int) -> None:
    from storage_admin.cli.documents import result_of

    plan, result = outcome.plan, result_of(outcome)
    facts = {"table": str(plan.table), "kinds": list(plan.kinds), "result": result, "done": done, "total": total}
    facts |= {"from_version": plan.version, "to_version": outcome.version, "seconds": round(outcome.seconds, 6)}
    said = voice.redacted(str(outcome.error)) if outcome.error is not None else f"{plan.table} {result}"
    voice(said, event="table", level="error" if outcome.error is not None else "info", **facts)


class _Bar:
    """A bar with the time that is left, once there are enough tables for one."""

    def __init__(self, what: str) -> None:
        self.what, self.failed, self.started = what, 0, False

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        self.failed += outcome.error is not None
        if total < FEW:
            return
        if not self.started:
            self._start(total)
        failed = f"[red]{self.failed:,} failed[/red]" if self.failed else ""
        self.bar.update(self.task, completed=done, failed=failed)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
        )
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task(self.what, total=total, failed="")
        self.bar.start()
        self.started = True

    def close(self) -> None:
        """As `Bar`."""
        if self.started:
            self.bar.stop()
