"""Annotations of GitHub Actions, and the summary of a step.

The escaping is that of GitHub's toolkit (packages/core/src/command.ts). GitHub shows ten errors and ten warnings of a
step, and takes no summary of more than 1 MiB.
"""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage_admin.cli.output import count_text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from storage_admin.cli.ci.places import Place
    from storage_admin.cli.ci.results import Result
    from storage_admin.reports import Survey

SHOWN = 10
SUMMARY = "GITHUB_STEP_SUMMARY"
SUMMARY_BYTES = 1_000_000


def show(survey: Survey, results: Sequence[Result]) -> None:
    """Print an annotation for each result, and write the summary of the step where GitHub asks for one."""
    for result in results:
        level, title = "error" if result.fails else "warning", f"{result.rule.id}: {result.table}"
        click.echo(annotation(level, title, result.text, result.place))
    if any(sum(result.fails is fails for result in results) > SHOWN for fails in (True, False)):
        say(f"GitHub shows {SHOWN} errors and {SHOWN} warnings of a step; all are in its log and in its summary.")
    if file := os.environ.get(SUMMARY):
        try:
            with Path(file).open("a", encoding="utf-8") as summary:
                summary.write(_fitting(_summary(survey, results)))
        except OSError as error:  # what the check found counts, not who is told of it
            said = f"No summary of this step: {file}, which {SUMMARY} names, cannot be written: {error.strerror}"
            say(said, level="warning")


def failed(message: str) -> None:
    """Print an annotation for what kept the check from being made."""
    click.echo(annotation("error", "storage-admin check", message, None))


def annotation(level: str, title: str, message: str, place: Place | None) -> str:
    """One workflow command."""
    facts = {"file": place.file, "line": str(place.line)} if place else {}
    properties = ",".join(f"{key}={_property(value)}" for key, value in {**facts, "title": title}.items())
    return f"::{level} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- the summary -------------------------------------------------------------------------------------------


def _summary(survey: Survey, results: Sequence[Result]) -> Iterator[str]:
    database = survey.database
    current = len(survey.plans) - len(results)
    yield f"### storage-admin check\n\n{database.server} at {_code(database.url)}: "
    yield f"{count_text(len(survey.plans), 'table')}, {current:,} current\n\n"
    if results:
        yield "| Table | State | Fails | What is found |\n|---|---|---|---|\n"
    for result in results:
        cells = (_code(result.table), result.rule.id, "yes" if result.fails else "no", _cell(result.message))
        yield f"| {' | '.join(cells)} |\n"
    for note in survey.notes:
        yield f"\n{_cell(note)}\n"
    for result in results:
        if result.statements:
            yield _details(result)
    yield "\n"


def _details(result: Result) -> str:
    sql = "".join(f"{statement};\n" for statement in result.statements)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", sql)), default=0))
    title = escape(result.table)  # in a block of HTML, where Markdown is not read
    return f"\n<details><summary>{title}</summary>\n\n{fence}sql\n{sql}{fence}\n\n</details>\n"


def _fitting(parts: Iterable[str]) -> str:
    kept, size, left = [], 0, 0
    for part in parts:
        size += len(part.encode())
        if left or size > SUMMARY_BYTES:
            left += 1
        else:
            kept.append(part)
    more = f"\n\nToo much for a summary: {left:,} parts are left out; the log of the step has all.\n" if left else ""
    return "".join(kept) + more


def _cell(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>"
