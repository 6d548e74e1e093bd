"""The administration of rows: which sessions there are, what was said in them, how many; renamed, deleted."""

from __future__ import annotations

from storage_admin.sessions.administration import Sessions
from storage_admin.sessions.archive import LeftOut
from storage_admin.sessions.conversation import Message, ToolCall, conversation
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
