"""The documents of a command that was run on several targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.cli.documents import FORMAT, Document, SurveyDocument, UpgradeDocument

if TYPE_CHECKING:
    from collections.abc import Mapping


class SurveyedTarget(Document):
    """One target. ``result`` is what the command prints for one database; null where ``error`` says why."""

    target: str
    exit_code: int
    error: str | None
    result: SurveyDocument | None


class SurveyedTargets(Document):
    """inspect, plan, check and upgrade --dry-run with --all-targets. ``exit_code`` is the gravest."""

    format: int
    exit_code: int
    targets: list[SurveyedTarget]


class UpgradedTarget(Document):
    """One target. Where some of its tables failed there are a ``result`` and an ``error``."""

    target: str
    exit_code: int
    error: str | None
    result: UpgradeDocument | None


class UpgradedTargets(Document):
    """upgrade with --all-targets. ``exit_code`` is the gravest."""

    format: int
    exit_code: int
    targets: list[UpgradedTarget]


def targets_document(
    codes: Mapping[str, int], errors: Mapping[str, str], results: Mapping[str, Document], gravest: int
) -> SurveyedTargets | UpgradedTargets:
    """The document of what became of each target, by its name, in the order of ``codes``."""
    upgraded = any(isinstance(result, UpgradeDocument) for result in results.values())
    row: Any = UpgradedTarget if upgraded else SurveyedTarget
    rows = [
        row(target=name, exit_code=code, error=errors.get(name), result=results.get(name))
        for name, code in codes.items()
    ]
    whole: Any = UpgradedTargets if upgraded else SurveyedTargets
    document: SurveyedTargets | UpgradedTargets = whole(format=FORMAT, exit_code=gravest, targets=rows)
    return document
