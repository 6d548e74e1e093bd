"""What is wrong with a database, or will be in the way of an upgrade, as findings. Reads, waits for nobody.

One module per database says what is looked at there; a new one is a row in ``MODULES``.
"""

from __future__ import annotations

from storage_admin.doctor.examination import examine, reading, unreachable
from storage_admin.doctor.findings import GRAVEST_FIRST, RULES, SHOWN, Diagnosis, Finding, Level, alike

__all__ = [
    "GRAVEST_FIRST",
    "RULES",
    "SHOWN",
    "Diagnosis",
    "Finding",
    "Level",
    "alike",
    "examine",
    "reading",
    "unreachable",
]
