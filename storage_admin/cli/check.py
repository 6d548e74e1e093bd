"""storage-admin check."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, open_admin, output_option, tables_argument

EXIT_CODES = {"current": 0, "outdated": 2, "drifted": 3, "ahead": 4}


@click.command("check")
@tables_argument
@database_options
@output_option
def command(tables: tuple[str, ...], db_url: str | None, schema: str | None, output: str) -> int:
    """Say with the exit code whether all tables are current: 0 yes, 2 changes are pending, 3 drift, 4 ahead."""
    from storage_admin.changes import Status
    from storage_admin.cli import output as out

    admin = open_admin(db_url, schema)
    survey = admin.check(tables or None)
    if output != "table":
        from storage_admin.cli.documents import survey_document
        from storage_admin.dialects import dialect_named

        out.emit(survey_document(survey, admin.catalog, dialect_named(survey.database.dialect)), output)
    elif survey.status is not Status.CURRENT:
        rows = [
            (
                str(p.table),
                ", ".join(p.kinds),
                out.version_text(p, admin.catalog),
                out.status_text(p.status.value),
                out.pending_text(p),
            )
            for p in survey.plans
            if p.status is not Status.CURRENT
        ]
        out.show_table(("Table", "Kinds", "Version", "Status", "To do"), rows)
        out.show_drifts(survey.plans)
    out.show_notes(survey.notes)
    out.say(out.summary(plan.status.value for plan in survey.plans))
    return EXIT_CODES[survey.status.value]
