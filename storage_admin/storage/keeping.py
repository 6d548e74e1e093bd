"""What a memory did not read it must not replace: see `old_runs`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from storage_admin.errors import RunsNotRead
from storage_admin.storage.old_runs import OLD_MEMORY, RUNS, id_of_then, is_old, what_only_then_had

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

BEFORE = "before_agno_1_4"  # the key of a memory that has what its runs could not take along
REMEMBERED = 10_000  # sessions


class _Kept(NamedTuple):
    then: AbstractSet[str] = frozenset()  # ids of runs in the form of then
    today: int = 0  # runs in the form of today
    rest: dict[str, Any] | None = None  # what goes under `BEFORE`


class Keeper:
    """What was read of the runs of a session, and has to be there still when it is written.

    It knows what the same storage read, of the sessions that it read last.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def note(self, session: Any) -> None:
        """Remember a session that was read, or written."""
        self._kept.pop(session.session_id, None)
        memory = getattr(session, "memory", None)
        if isinstance(memory, dict) and any(found := _kept(memory)):
            self._kept[session.session_id] = found
            if len(self._kept) > REMEMBERED:
                self._kept.pop(next(iter(self._kept)), None)

    def complete(self, session: Any, table: str) -> Any:
        """The session as it is to be written: with what its memory cannot hold.

        Raises:
            RunsNotRead: its memory has lost runs that it had when it was read.
        """
        kept = self._kept.get(session.session_id)
        memory = getattr(session, "memory", None)
        if kept is None or not isinstance(memory, dict):
            return session
        facts = {"table": table, "session_id": session.session_id}
        if _is_of_then(memory):
            if kept.today and not any("session_id" in run for run in _runs(memory)):
                raise RunsNotRead(runs=kept.today, form="of Agno 1.4 and later", reader="Memory", **facts)
            return session
        if lost := kept.then - {run.get("run_id") for run in _runs(memory)}:
            raise RunsNotRead(runs=len(lost), form="of before Agno 1.4", reader="AgentMemory", **facts)
        if not kept.rest or BEFORE in memory:
            return session
        completed = copy.copy(session)
        completed.memory = {**memory, BEFORE: kept.rest}
        return completed

    def forget(self, session_id: str) -> None:
        """A session was deleted: another one may have its id."""
        self._kept.pop(session_id, None)


def _kept(memory: dict[str, Any]) -> _Kept:
    runs = _runs(memory)
    then = [run for run in runs if is_old(run)]
    if not then:
        return _Kept(today=len(runs), rest=memory.get(BEFORE))
    return _Kept({id_of_then(run) for run in then}, len(runs) - len(then), what_only_then_had(memory))


def _is_of_then(memory: dict[str, Any]) -> bool:
    """Whether a memory of then stores this: that of a workflow has no such key, and makes ``{}`` of other runs."""
    return OLD_MEMORY in memory or any(is_old(run) or not run for run in _runs(memory))


def _runs(memory: dict[str, Any]) -> list[dict[str, Any]]:
    runs = memory.get(RUNS)
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
