"""storage-admin sessions stats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, output_option, tables_argument
from storage_admin.cli.sessions.options import filter_of, filter_options, open_sessions

if TYPE_CHECKING:
    from storage_admin.sessions import Statistics

SHOWN = 12
DAY = 86_400  # seconds


def whole_days(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Ages, or numbers, as whole days."""
    from storage_admin.sessions import parse_age

    days = tuple(int(value) if value.isdecimal() else parse_age(value) // DAY for value in values)
    if 0 in days:
        raise click.BadParameter("at least a day")
    return days


@click.command("stats")
@tables_argument
@filter_options
@click.option("--retention", callback=whole_days, multiple=True, metavar="AGE", help="What would it remove? 90d, 26w.")
@database_options
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    retention: tuple[int, ...],
    output: str,
    **options: str | None,
) -> None:
    """Count: sessions, users, runs, bytes; growth by day and month, the largest, what a retention would remove."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import statistics_document

    sessions = open_sessions(db_url, schema)
    days = {"retentions": retention} if retention else {}
    found = sessions.statistics(filter_of(sessions, options), tables or None, **days)
    if output != "table":
        out.emit(statistics_document(found), output)
        return
    headers = ("Table", "Kinds", "Sessions", "Users", "Runs", "Size", "Oldest (UTC)", "Last used (UTC)")
    rows = [
        (
            str(s.table),
            ", ".join(s.kinds),
            f"{s.sessions:,}",
            f"{s.users:,}",
            f"{s.runs:,}",
            out.size_text(s.bytes),
            out.time_text(s.oldest),
            out.time_text(s.newest),
        )
        for s in found
    ]
    out.show_table(headers, rows, right=("Sessions", "Users", "Runs", "Size"), cut=("Table", "Kinds"))
    for statistics in found:
        if statistics.sessions:
            _show(statistics)


def _show(statistics: Statistics) -> None:
    from storage_admin.cli import output as out

    click.echo(f"\n{click.style(str(statistics.table), bold=True)}")
    for title, growth in (("Month", statistics.months), ("Day", statistics.days)):
        rows = [(g.period, f"{g.sessions:,}", out.size_text(g.bytes)) for g in growth[-SHOWN:]]
        out.show_table((title, "Created", "Size"), rows, right=("Created", "Size"))
        click.echo()
    retained = [(f"{r.days} days", f"{r.sessions:,}", out.size_text(r.bytes)) for r in statistics.retentions]
    out.show_table(("Retention", "Would remove", "Size"), retained, right=("Would remove", "Size"))
    click.echo()
    largest = [
        (out.one_line(s.session_id), out.one_line(s.user_id or "-"), s.runs or 0, out.size_text(s.bytes))
        for s in statistics.largest
    ]
    out.show_table(("Largest", "User", "Runs", "Size"), largest, right=("Runs", "Size"), cut=("User",))
