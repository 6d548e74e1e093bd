"""storage-admin sessions list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, output_option, tables_argument
from storage_admin.cli.sessions.options import filter_of, filter_options, open_sessions

if TYPE_CHECKING:
    from storage_admin.sessions import Sort

NAME_SHOWN = 40


@click.command("list")
@tables_argument
@filter_options
@click.option(
    "--sort",
    type=click.Choice(["updated", "created", "id"]),
    help="The newest first, or by table and id. Without it by the last activity, or by id where a table is large.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N", help="Sessions on a page."
)
@click.option("--from", "place", metavar="PLACE", help="Go on where a page ended, which named this place.")
@database_options
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    sort: Sort | None,
    limit: int,
    place: str | None,
    output: str,
    **options: str | None,
) -> None:
    """List sessions: the last used first, a page at a time, as fast on the last page as on the first."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import page_document

    sessions = open_sessions(db_url, schema)
    page = sessions.page(filter_of(sessions, options), tables or None, sort=sort, limit=limit, after=place)
    if output != "table":
        out.emit(page_document(page), output)
    elif page.sessions:
        headers = ("Session", "Table", "Kind", "User", "Of", "Name", "Updated (UTC)", "Runs", "Size")
        rows = [
            (
                s.session_id,
                str(s.table),
                s.kind,
                s.user_id or "-",
                s.entity_id or "-",
                out.cut_text(s.name or "-", NAME_SHOWN),
                out.time_text(s.updated_at if s.updated_at is not None else s.created_at),
                "-" if s.runs is None else f"{s.runs:,}",
                out.size_text(s.bytes),
            )
            for s in page.sessions
        ]
        lines = [[out.one_line(cell) for cell in row] for row in rows]
        out.show_table(headers, lines, right=("Runs", "Size"), cut=("Table", "User", "Of", "Name"))
    out.show_notes(page.notes)
    if page.next is not None:
        out.say(f"{out.count_text(len(page.sessions), 'session')}; the next page: --from {page.next}")
    else:
        out.say(out.count_text(len(page.sessions), "session") if page.sessions else "No session matches.")
