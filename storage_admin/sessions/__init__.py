"""The administration of rows: which sessions there are, what was said in them, how many; renamed, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.lazy import lazily

# At once, since its module has the name of a function that it holds.
from storage_admin.sessions.conversation import Message, ToolCall, conversation

if TYPE_CHECKING:
    from storage_admin.sessions.administration import Sessions
    from storage_admin.sessions.archive import LeftOut
    from storage_admin.sessions.copying import Compared, Copied, Difference
    from storage_admin.sessions.editing import Changed
    from storage_admin.sessions.exporting import Exported
    from storage_admin.sessions.filters import Filter, parse_age, parse_time
    from storage_admin.sessions.importing import Loaded, LoadedTable, Rejected
    from storage_admin.sessions.listing import Page, SessionSummary, Sort
    from storage_admin.sessions.loading import OnConflict
    from storage_admin.sessions.pruning import Candidates, Old, Pruned, PruneReport
    from storage_admin.sessions.reading import Session
    from storage_admin.sessions.statistics import Growth, Retention, Statistics

__all__ = [
    "Candidates",
    "Changed",
    "Compared",
    "Copied",
    "Difference",
    "Exported",
    "Filter",
    "Growth",
    "LeftOut",
    "Loaded",
    "LoadedTable",
    "Message",
    "Old",
    "OnConflict",
    "Page",
    "PruneReport",
    "Pruned",
    "Rejected",
    "Retention",
    "Session",
    "SessionSummary",
    "Sessions",
    "Sort",
    "Statistics",
    "ToolCall",
    "conversation",
    "parse_age",
    "parse_time",
]

_HOMES = {
    "administration": ("Sessions",),
    "archive": ("LeftOut",),
    "copying": ("Compared", "Copied", "Difference"),
    "editing": ("Changed",),
    "exporting": ("Exported",),
    "filters": ("Filter", "parse_age", "parse_time"),
    "importing": ("Loaded", "LoadedTable", "Rejected"),
    "listing": ("Page", "SessionSummary", "Sort"),
    "loading": ("OnConflict",),
    "pruning": ("Candidates", "Old", "Pruned", "PruneReport"),
    "reading": ("Session",),
    "statistics": ("Growth", "Retention", "Statistics"),
}

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
