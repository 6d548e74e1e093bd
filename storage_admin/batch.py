"""Many tables, several at a time: each on its own, and none of them in the way of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING

from storage_admin.errors import StorageAdminError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from threading import Event

    from storage_admin.changes import Plan
    from storage_admin.reports import Outcome
    from storage_admin.schema import TableName

    Upgrade = Callable[[Plan], Outcome]
    Progress = Callable[[Outcome, int, int], None]


def run(
    plans: Sequence[Plan],
    line: Callable[[], AbstractContextManager[Upgrade]],
    jobs: int,
    progress: Progress | None,
    done: dict[TableName, Outcome],
    stopped: Event,
) -> None:
    """Upgrade the tables of some plans, ``jobs`` at a time; ``done`` gets what became of each.

    ``line`` gives what upgrades one table after the other, on a connection of its own. A line that gets no connection
    leaves its tables to the others. Once ``stopped`` is set no other table is begun.

    Raises:
        StorageAdminError: not a single line got a connection. KeyboardInterrupt: it was interrupted; ``done`` has what
        was done.
    """
    work = _Queue(plans, progress, done, stopped)
    if jobs == 1 or len(plans) <= 1:
        work.through(line)
        return
    with ThreadPoolExecutor(jobs) as pool:
        lines = [pool.submit(copy_context().run, work.through, line) for _ in range(min(jobs, len(plans)))]
        try:
            failures = [error for error in (each.exception() for each in lines) if error is not None]
        except BaseException:  # Ctrl-C: a table that is being worked on is finished, unless it waits for somebody
            stopped.set()
            raise
    unexpected = [error for error in failures if not isinstance(error, StorageAdminError)]
    if unexpected or work.left:
        raise (unexpected or failures)[0]


class _Queue:
    """The tables that nobody has taken yet, and what became of the others."""

    def __init__(
        self, plans: Sequence[Plan], progress: Progress | None, outcomes: dict[TableName, Outcome], stopped: Event
    ) -> None:
        self.outcomes, self.stopped = outcomes, stopped
        self.left = len(plans)
        self._plans, self._total, self._progress, self._lock = iter(plans), len(plans), progress, Lock()

    def through(self, line: Callable[[], AbstractContextManager[Upgrade]]) -> None:
        """Take tables, one after the other, until there are none."""
        with line() as upgrade:
            while (plan := self._take()) is not None:
                self._put(plan, upgrade(plan))

    def _take(self) -> Plan | None:
        with self._lock:
            return None if self.stopped.is_set() else next(self._plans, None)

    def _put(self, plan: Plan, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes[plan.table] = outcome
            self.left -= 1
            if self._progress is not None:
                self._progress(outcome, self._total - self.left, self._total)
