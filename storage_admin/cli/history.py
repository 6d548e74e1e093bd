"""storage-admin history."""

from __future__ import annotations

import click

from storage_admin.cli import completing
from storage_admin.cli.options import database_options, open_admin, output_option


@click.command("history")
@click.argument("table", required=False, shell_complete=completing.tables)
@database_options
@output_option
def command(table: str | None, db_url: str | None, schema: str | None, output: str) -> None:
    """Show the recorded upgrades, of a table or all.

    The oldest comes first.
    """
    from storage_admin.cli import output as out
    from storage_admin.cli.documents import history_document

    revisions = open_admin(db_url, schema).history(table)
    if output != "table":
        out.emit(history_document(revisions), output)
        return
    rows = [
        (
            f"{r.applied_at:%Y-%m-%d %H:%M:%S} UTC" if r.applied_at else "",
            str(r.table),
            ", ".join(r.kinds),
            out.steps_text(r.from_version, r.to_version),
            "baseline" if r.baseline else "",
            len(r.statements),
            f"{r.duration_ms} ms",
            r.tool_version,
        )
        for r in revisions
    ]
    if rows:
        headers = ("When", "Table", "Kinds", "Version", "Note", "Statements", "Time", "By storage-admin")
        out.show_table(headers, rows, right=("Statements", "Time"))
    out.say(out.count_text(len(rows), "revision") if rows else "No upgrade was recorded here yet.")
