"""The document of `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.cli.documents import FORMAT, Database, Document, database_row
from storage_admin.doctor.findings import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin import doctor
    from storage_admin.doctor import Diagnosis


class Finding(Document):
    """One thing that was looked at. ``advice`` is empty where nothing is to be done."""

    rule: str
    level: Level
    seen: str
    advice: str
    objects: list[str]


class DiagnosisDocument(Document):
    """doctor. ``level`` is the gravest of all; without an answer ``database.server_version`` is empty."""

    format: int
    database: Database
    level: Level
    findings: list[Finding]


def diagnosis_document(diagnosis: Diagnosis, redacted: Callable[[str], str]) -> DiagnosisDocument:
    """The document of a diagnosis, with ``redacted`` applied to all that a database may have said."""
    return DiagnosisDocument(
        format=FORMAT,
        database=database_row(diagnosis.database),
        level=diagnosis.level,
        findings=[finding_row(finding, redacted) for finding in diagnosis.findings],
    )


def finding_row(finding: doctor.Finding, redacted: Callable[[str], str] = str) -> Finding:
    """The row of a finding."""
    return Finding(
        rule=finding.rule,
        level=finding.level,
        seen=redacted(finding.seen),
        advice=redacted(finding.advice),
        objects=list(finding.objects),
    )
