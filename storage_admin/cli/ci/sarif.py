"""SARIF 2.1.0, for code scanning. A result keeps its fingerprint as long as it is the same table in the same state."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import msgspec

from storage_admin.cli.ci.places import Place
from storage_admin.cli.ci.results import RULES
from storage_admin.settings.finding import OWN
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage_admin.cli.ci.results import Result, Rule
    from storage_admin.reports import Survey

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
GUIDE = "ci.md"
IDS = [rule.id for rule in RULES.values()]
# Code scanning shows no result without a file.
NOWHERE = Place(OWN, 1)


def show(survey: Survey, results: Sequence[Result]) -> None:
    """Print a log with a result for each table that is not current."""
    _print([_result(result) for result in results], {"executionSuccessful": True}, survey.database.url)


def failed(message: str) -> None:
    """Print a log of a check that could not be made."""
    notification = {"level": "error", "message": {"text": message}}
    _print([], {"executionSuccessful": False, "toolExecutionNotifications": [notification]}, None)


def _print(results: list[dict[str, Any]], invocation: dict[str, Any], database: str | None) -> None:
    driver = {
        "name": "storage-admin",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    run: dict[str, Any] = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    run["columnKind"] = "unicodeCodePoints"
    if database is not None:
        run["properties"] = {"database": database}
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    click.echo(msgspec.json.format(msgspec.json.encode(log), indent=2).decode())


def _rule(rule: Rule) -> dict[str, Any]:
    page = f"{GUIDE}#{rule.id}"
    site = documentation()
    return {
        "id": rule.id,
        "name": f"{rule.id.title()}Table",
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help},
        "help": {"text": f"{rule.help} See docs/{page}"},
        **({"helpUri": f"{site.rstrip('/')}/{page}"} if site else {}),
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["database", "migrations"]},
    }


def documentation() -> str | None:
    """Where the documentation is, as the metadata of the installed package says; None where that says nothing."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        urls = metadata("storage-admin").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation")


def _result(result: Result) -> dict[str, Any]:
    place = result.place or NOWHERE
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(place.file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": place.line},
        },
        "logicalLocations": [{"fullyQualifiedName": result.table, "kind": "table"}],
    }
    # GitHub goes by the first of these, others by any.
    fingerprint = sha256(f"{result.rule.id}\0{result.table}".encode()).hexdigest()[:32]
    return {
        "ruleId": result.rule.id,
        "ruleIndex": IDS.index(result.rule.id),
        "level": "error" if result.fails else "warning",
        "message": {"text": result.text},
        "locations": [location],
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "tableState/v1": fingerprint},
    }
