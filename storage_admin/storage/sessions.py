"""What a session is: the one place that knows Agno's four kinds by name.

Sessions are Agno's own dataclasses where Agno 1.x is installed, and the same by another hand where it is not.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["agent", "team", "workflow", "workflow_v2"]

DEFAULT_KIND: Kind = "agent"  # what Agno takes where no mode is given
SESSION_ID = "session_id"

# The column that says whose session it is: `entity_id` filters by it.
ENTITY: dict[str, str] = {
    "agent": "agent_id",
    "team": "team_id",
    "workflow": "workflow_id",
    "workflow_v2": "workflow_id",
}
# The other columns that are filled in rows of this kind alone, where a table holds several.
DATA: dict[str, tuple[str, ...]] = {
    "agent": ("agent_data",),
    "team": ("team_data",),
    "workflow": ("workflow_data",),
    "workflow_v2": ("workflow_data", "workflow_name", "runs"),
}
# No release has a column for workflow_session_id, and every release of Agno loses it. It goes along in here.
CARRIER: dict[str, str] = {"agent": "agent_data", "team": "team_data"}
CARRIED = "workflow_session_id"
CARRIED_AS = f"storage_admin.{CARRIED}"

# A column that tables for a kind have, and sessions of the kind do not: neither read nor written.
UNUSED: dict[str, tuple[str, ...]] = {"workflow_v2": ("memory",)}
# A second-generation workflow of Agno never loads these and writes them empty after every run, over whatever a workflow
# of the first generation, or anybody else, left in the row.
KEPT_IF_EMPTY: dict[str, tuple[str, ...]] = {"workflow_v2": ("session_data", "extra_data")}

# Where releases 1.0 to 1.8 keep their classes, the newest place first.
AGNO: dict[str, tuple[str, ...]] = {
    "agent": ("agno.storage.session.agent.AgentSession", "agno.storage.agent.session.AgentSession"),
    "team": ("agno.storage.session.team.TeamSession",),
    "workflow": ("agno.storage.session.workflow.WorkflowSession", "agno.storage.workflow.session.WorkflowSession"),
    "workflow_v2": ("agno.storage.session.v2.workflow.WorkflowSession",),
}


@dataclass
class _Session:
    """The fields that every kind has."""

    session_id: str
    user_id: str | None = None
    session_data: dict[str, Any] | None = None
    extra_data: dict[str, Any] | None = None
    created_at: int | None = None
    updated_at: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, copied."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self | None:
        """The session of a mapping; other keys are left out. None without a session_id."""
        if data.get(SESSION_ID) is None:
            return None
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


@dataclass
class AgentSession(_Session):
    """A session of an agent, with the fields of ``agno.storage.session.agent.AgentSession``."""

    team_session_id: str | None = None
    workflow_session_id: str | None = None
    memory: dict[str, Any] | None = None
    agent_id: str | None = None
    agent_data: dict[str, Any] | None = None


@dataclass
class TeamSession(_Session):
    """A session of a team, with the fields of ``agno.storage.session.team.TeamSession``."""

    team_session_id: str | None = None
    workflow_session_id: str | None = None
    memory: dict[str, Any] | None = None
    team_id: str | None = None
    team_data: dict[str, Any] | None = None


@dataclass
class WorkflowSession(_Session):
    """A session of a workflow, with the fields of ``agno.storage.session.workflow.WorkflowSession``."""

    memory: dict[str, Any] | None = None
    workflow_id: str | None = None
    workflow_data: dict[str, Any] | None = None


@dataclass
class WorkflowSessionV2(_Session):
    """A session of a second-generation workflow, as ``agno.storage.session.v2.workflow.WorkflowSession``; the runs are
    dictionaries.
    """

    workflow_id: str | None = None
    workflow_name: str | None = None
    runs: list[dict[str, Any]] | None = field(default_factory=list)
    workflow_data: dict[str, Any] | None = None


OURS: dict[str, type[_Session]] = {
    "agent": AgentSession,
    "team": TeamSession,
    "workflow": WorkflowSession,
    "workflow_v2": WorkflowSessionV2,
}


@cache
def session_class(kind: str) -> type[Any]:
    """The class of the sessions of a kind: Agno's own if it is installed, else ours."""
    for path in AGNO[kind]:
        module, _, name = path.rpartition(".")
        try:
            found: type[Any] = getattr(import_module(module), name)
        except ImportError:
            continue
        return found
    return OURS[kind]


def kind_of(session: object) -> Kind | None:
    """The kind of a session, by the fields that it has; None if it is no session."""
    if not hasattr(session, SESSION_ID):
        return None
    if hasattr(session, "agent_id"):
        return "agent"
    if hasattr(session, "team_id"):
        return "team"
    if hasattr(session, "workflow_id"):
        return "workflow_v2" if hasattr(session, "runs") else "workflow"
    return None


def values_of(session: Any, kind: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """What is to be stored of a session, by column."""
    values = {name: getattr(session, name, None) for name in columns}
    if "runs" in values:
        values["runs"] = session.to_dict().get("runs")  # Agno keeps objects there, and dictionaries in the table
    carrier = CARRIER.get(kind)
    carried = getattr(session, CARRIED, None)
    if carrier and carried is not None and isinstance(values[carrier], (dict, type(None))):
        values[carrier] = {**(values[carrier] or {}), CARRIED_AS: carried}
    return values


def session_from(cls: type[Any], kind: str, values: dict[str, Any]) -> Any:
    """The session of a row whose JSON is decoded."""
    carrier = CARRIER.get(kind)
    data = values.get(carrier) if carrier else None
    if carrier and isinstance(data, dict) and CARRIED_AS in data:
        values[CARRIED] = data.pop(CARRIED_AS)
        values[carrier] = data or None
    return cls.from_dict(values)


def introduce(storage: type) -> None:
    """Let ``isinstance(storage, agno.storage.base.Storage)`` hold, if Agno is there already; never import it."""
    base = getattr(sys.modules.get("agno.storage.base"), "Storage", None)
    if base is not None and not issubclass(storage, base):
        base.register(storage)
