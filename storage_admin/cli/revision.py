"""storage-admin revision."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, open_admin, tables_argument, to_option


@click.command("revision")
@tables_argument
@database_options
@click.option(
    "--alembic",
    "folder",
    required=True,
    metavar="DIR",
    help="Your Alembic environment: the folder of its alembic.ini, pyproject.toml or env.py.",
)
@to_option
@click.option("--head", metavar="REVISION", help="The revision to go on with, where there are several heads.")
@click.option("-m", "--message", metavar="TEXT", help="What the revision is called.")
@click.option("--again", is_flag=True, help="Write it although another revision has some of its statements.")
@click.option("--name", default="alembic", show_default=True, metavar="SECTION", help="As alembic --name.")
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    folder: str,
    to: int | None,
    head: str | None,
    message: str | None,
    again: bool,
    name: str,
) -> int:
    """Write what is pending as a revision of Alembic.

    In your own Alembic environment. Changes nothing in the database.

    The revision runs the statements of plan --sql. Index builds that may not run in a transaction become a second one.
    """
    from functools import partial
    from pathlib import Path

    from storage_admin.cli import plan
    from storage_admin.cli.output import show_files
    from storage_admin.integrations.alembic_revision import Environment, applied_in

    admin = open_admin(db_url, schema)
    environment = Environment(Path(folder), head=head, section=name)
    survey = admin.plan(tables or None, to=to)
    header, applied = plan.header(survey), partial(applied_in, admin)
    written = environment.write(survey, header, message=message, again=again, applied=applied)
    plan.talk(survey)
    show_files(written)
    return plan.exit_code(survey)
