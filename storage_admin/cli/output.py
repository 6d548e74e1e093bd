"""Showing results: tables for people, JSON and YAML for programs. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from storage_admin import changes as c, texts
from storage_admin.cli.talk import voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from storage_admin.catalog import Catalog
    from storage_admin.cli.documents import Document

GAP = 2  # characters between two columns, and beside a header
NARROWEST = 8  # characters of a column that is cut
NAMING = 3  # how much less the first column is cut than the others: what is in it is a name, to be typed again
COLOUR = "\x1b"
COLOURS = {
    "current": "green",
    "outdated": "yellow",
    "missing": "yellow",
    "drifted": "red",
    "ahead": "magenta",
    "failed": "red",
    "upgraded": "green",
    "created": "green",
}

# The page of a report has the same words; here everybody knows them under these names.
changes_text, count_text, one_line = texts.changes_text, texts.count_text, texts.one_line
size_text, time_text = texts.size_text, texts.time_text


_collected: list[Document] | None = None


@contextmanager
def collecting() -> Iterator[list[Document]]:
    """A list that takes what would be printed meanwhile as JSON or YAML."""
    global _collected  # noqa: PLW0603 - the commands know nothing of it
    _collected = []
    try:
        yield _collected
    finally:
        _collected = None


def emit(document: Document, output: str) -> None:
    """Print a document as JSON or YAML."""
    import msgspec

    if _collected is not None:
        _collected.append(document)
        return
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(msgspec.to_builtins(document), sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def show_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    cut: Sequence[str] | None = None,
    prose: str | None = None,
) -> None:
    """Print a table; the columns named in ``right`` are set to the right. On a terminal those in ``cut`` are cut until
    the table fits, the widest first; without ``cut`` all others. What is coloured is left whole; a column of ``prose``
    goes on in a next line.
    """
    from textwrap import fill

    import tabulate

    align = ["right" if header in right else "left" for header in headers]
    tabulate.MIN_PADDING = GAP
    if sys.stdout.isatty():
        cells = [[str(cell) for cell in row] for row in rows]
        rows, width = cells, get_terminal_size().columns
        if sum(_widths(headers, cells, GAP).values()) > width:
            tabulate.MIN_PADDING = 0
            left = [header for header in headers if header not in right]
            may_be_cut = [prose] if prose is not None else left if cut is None else cut
            rows = _fitting(headers, cells, may_be_cut, width, fill if prose is not None else cut_text)
    text = tabulate.tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    click.echo("\n".join(line.rstrip() for line in text.splitlines()))


def _widths(headers: Sequence[str], rows: list[list[str]], padding: int) -> dict[str, int]:
    """How many characters each column takes, with the gap after it."""
    return {
        header: max([len(header) + padding, *(len(click.unstyle(row[place])) for row in rows)])
        + (GAP if place + 1 < len(headers) else 0)
        for place, header in enumerate(headers)
    }


def _fitting(
    headers: Sequence[str],
    rows: list[list[str]],
    cut: Sequence[str],
    width: int,
    shortened: Callable[[str, int], str],
) -> list[list[str]]:
    widths = _widths(headers, rows, 0)
    coloured = {header for row in rows for header, cell in zip(headers, row, strict=True) if COLOUR in cell}
    least = {header: max(NARROWEST, len(header)) + GAP for header in cut if header not in coloured}
    while least and sum(widths.values()) > width:
        widest = max(
            least, key=lambda header: (widths[header] - least[header]) / (NAMING if header == headers[0] else 1)
        )
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    room = {header: widths[header] - (GAP if header != headers[-1] else 0) for header in least}
    return [
        [shortened(cell, room[header]) if header in room else cell for cell, header in zip(row, headers, strict=True)]
        for row in rows
    ]


def cut_text(text: str, length: int) -> str:
    """A text of at most so many characters, with a sign that it went on."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def show_notes(notes: Iterable[str]) -> None:
    """Say what is worth a reader's while, on stderr."""
    for note in notes:
        say(f"{click.style('Note:', bold=True)} {note}", event="note", level="warning")


def show_files(written: Iterable[Path]) -> None:
    """Print the files that were written, one a line, or say that none was."""
    import os

    for file in written:
        near = os.path.relpath(file)
        click.echo(near if len(near) < len(str(file)) else str(file))
    if not written:
        say("No file was written.")


def say(text: str, /, **facts: Any) -> None:
    """Talk, on stderr, so that stdout stays data. ``facts`` are for whoever reads logs."""
    voice(text, **facts)


def status_text(status: str) -> str:
    """A status in its colour (which click takes out again where there is no terminal)."""
    return click.style(status, fg=COLOURS.get(status))


def version_text(plan: c.Plan, catalog: Catalog) -> str:
    """``4 (agno 0.0.2)``, or a dash."""
    return f"{plan.version} ({catalog.version(plan.version).released})" if plan.version is not None else "none"


def steps_text(old: int | None, new: int | None) -> str:
    """``4 -> 10``, ``none -> 10``, or one version where nothing happened."""
    start = "none" if old is None else str(old)
    return start if old == new else f"{start} -> {new}"


def pending_text(plan: c.Plan) -> str:
    """What is to be done with a table, in a few words, or what blocks it."""
    if plan.status is c.Status.DRIFTED:
        return "nothing: mend the drift below first"
    if plan.status is c.Status.AHEAD:
        return f"recorded at version {plan.recorded} by a newer storage-admin"
    return changes_text(plan.changes)


def show_drifts(plans: Iterable[c.Plan]) -> None:
    """Print each drift on a line of its own."""
    for plan in plans:
        for drift in plan.drifts:
            click.echo(f"{plan.table}: {click.style('drift', fg='red')}: {drift}")


def summary(words: Iterable[str], what: str = "table") -> str:
    """``12 tables: 5 outdated, 7 current``."""
    counted: dict[str, int] = {}
    for word in words:
        counted[word] = counted.get(word, 0) + 1
    parts = ", ".join(f"{number:,} {status_text(word)}" for word, number in counted.items())
    return f"{count_text(sum(counted.values()), what)}: {parts}"
