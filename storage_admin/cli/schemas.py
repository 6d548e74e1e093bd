"""Every document that a command prints, under the name of its JSON Schema in docs/json."""

from __future__ import annotations

from storage_admin.cli.diagnosis import DiagnosisDocument
from storage_admin.cli.documents import Document, HistoryDocument, SurveyDocument, UpgradeDocument, VersionsDocument
from storage_admin.cli.overview import OverviewDocument
from storage_admin.cli.sessions.documents import (
    CandidatesDocument,
    ChangedDocument,
    CopiedDocument,
    ExportedDocument,
    LoadedDocument,
    PageDocument,
    PrunedDocument,
    SessionDocument,
    StatisticsDocument,
)
from storage_admin.cli.target_documents import SurveyedTargets, UpgradedTargets

DOCUMENTS: dict[str, type[Document]] = {
    "doctor": DiagnosisDocument,
    "history": HistoryDocument,
    "report": OverviewDocument,
    "sessions-copy": CopiedDocument,
    "sessions-delete": ChangedDocument,
    "sessions-export": ExportedDocument,
    "sessions-import": LoadedDocument,
    "sessions-list": PageDocument,
    "sessions-prune": PrunedDocument,
    "sessions-prune-dry-run": CandidatesDocument,
    "sessions-show": SessionDocument,
    "sessions-stats": StatisticsDocument,
    "survey": SurveyDocument,
    "survey-targets": SurveyedTargets,
    "upgrade": UpgradeDocument,
    "upgrade-targets": UpgradedTargets,
    "versions": VersionsDocument,
}
