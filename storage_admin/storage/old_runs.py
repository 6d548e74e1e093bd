"""Runs as agents and teams kept them before Agno 1.4: ``{"message": ..., "response": ...}``.

What an agent or a team of Agno 1.8 uses by default (agno.memory.v2) takes none of them for a run: it logs "Failed to
load runs from memory", begins empty, and stores what it has in their place. The memory of then
(agno.memory.agent.AgentMemory, agno.memory.team.TeamMemory) reads them still.
"""

from __future__ import annotations

from typing import Any

from storage_admin.errors import OldRunsNotRead

OLD_MEMORY = "create_user_memories"  # a key that AgentMemory and TeamMemory always store, and no other memory does
OLD_KEYS = frozenset({"message", "response"})  # of a run
REMEMBERED = 10_000


class OldRuns:
    """What was read with such runs, and may only be written with them."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def note(self, session: Any) -> None:
        """Remember a session that was read."""
        if count := _old_runs(session):
            self._counts[session.session_id] = count
            if len(self._counts) > REMEMBERED:
                self._counts.pop(next(iter(self._counts)), None)

    def refuse_to_lose(self, session: Any, table: str) -> None:
        """Refuse a session whose old runs were not read by the memory that it has now.

        Raises:
            OldRunsNotRead
        """
        count = self._counts.get(session.session_id, 0) if self._counts else 0
        memory = getattr(session, "memory", None)
        if count and isinstance(memory, dict) and OLD_MEMORY not in memory and not _old_runs(session):
            raise OldRunsNotRead(table=table, session_id=session.session_id, runs=count)

    def forget(self, session_id: str) -> None:
        """A session was deleted: another one may have its id."""
        self._counts.pop(session_id, None)


def _old_runs(session: Any) -> int:
    memory = getattr(session, "memory", None)
    runs = memory.get("runs") if isinstance(memory, dict) else None
    if not isinstance(runs, list):
        return 0
    return sum(isinstance(run, dict) and "session_id" not in run and not OLD_KEYS.isdisjoint(run) for run in runs)
