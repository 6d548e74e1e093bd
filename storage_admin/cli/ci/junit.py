"""JUnit XML: a test case per table. Valid for the schemas of Jenkins' xUnit plugin and of Ant."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage_admin.cli.ci.results import Result
    from storage_admin.reports import Survey

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
SUITE = "storage_admin.check"
# What XML 1.0 cannot hold, and a name of a table can.
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def show(survey: Survey, results: Sequence[Result]) -> None:
    """Print a suite with a case for each table: a failure if its state fails the check, else skipped."""
    found = {result.table: result for result in results}
    cases = [_case(str(plan.table)) for plan in survey.plans]
    for plan, case in zip(survey.plans, cases, strict=True):
        if (result := found.get(str(plan.table))) is not None:
            facts = {"message": result.message, **({"type": result.rule.id} if result.fails else {})}
            text = result.text if result.place is None else f"{result.place}: {result.text}"
            _sub(case, "failure" if result.fails else "skipped", facts).text = _written(text)
    properties = {"database": survey.database.url, "dialect": survey.database.dialect, "head": str(survey.head)}
    _print(cases, properties)


def failed(message: str) -> None:
    """Print a suite with one case, which could not be run."""
    case = _case("all tables")
    _sub(case, "error", {"message": message, "type": "error"}).text = _written(message)
    _print([case], {})


def _print(cases: list[ET.Element], properties: dict[str, str]) -> None:
    counts = {what: sum(case.find(what) is not None for case in cases) for what in ("failure", "error", "skipped")}
    totals = {"tests": str(len(cases)), "failures": str(counts["failure"]), "errors": str(counts["error"])}
    facts = {
        "name": SUITE,
        "package": "storage_admin",
        "id": "0",
        **totals,
        "skipped": str(counts["skipped"]),
        "time": "0",
        "timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": "localhost",
    }
    suites = ET.Element("testsuites")
    suite = _sub(suites, "testsuite", facts)
    listed = _sub(suite, "properties", {})
    for name, value in properties.items():
        _sub(listed, "property", {"name": name, "value": value})
    suite.extend(cases)
    for name in ("system-out", "system-err"):
        _sub(suite, name, {})
    ET.indent(suites)
    click.echo(DECLARATION + ET.tostring(suites, encoding="unicode"))


def _case(table: str) -> ET.Element:
    return ET.Element("testcase", {"classname": SUITE, "name": _written(table), "time": "0"})


def _sub(parent: ET.Element, tag: str, facts: dict[str, str]) -> ET.Element:
    return ET.SubElement(parent, tag, {key: _written(value) for key, value in facts.items()})


def _written(text: str) -> str:
    return UNWRITABLE.sub("\ufffd", text)
