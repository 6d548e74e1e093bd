"""storage-admin init."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import SCHEMA_HELP, open_admin
from storage_admin.cli.settings import PREFIX, URL_VARIABLES, db_url_option
from storage_admin.cli.talk import talk_options
from storage_admin.settings.finding import OWN, SHARED

if TYPE_CHECKING:
    from storage_admin.reports import Survey


@click.command("init")
@click.argument("file", default=OWN, type=click.Path(dir_okay=False), metavar="[FILE]")
@db_url_option
@click.option("--schema", metavar="NAME", envvar=f"{PREFIX}_SCHEMA", allow_from_autoenv=False, help=SCHEMA_HELP)
@click.option("--force", is_flag=True, help="Replace a file that is there; never a pyproject.toml.")
@talk_options
def command(file: str, db_url: str | None, schema: str | None, force: bool) -> None:
    """Write a first file of settings, from the database.

    It is storage-admin.toml, with comments, and names the tables that are found. A pyproject.toml, which may be there,
    gets [tool.storage-admin] at its end, and stays as it is otherwise.
    The database is named by --db-url, STORAGE_ADMIN_DB_URL or DATABASE_URL; without one the file is only comments. A
    password never gets into the file: a variable stands in its place.
    """
    from pathlib import Path

    from storage_admin.cli import output as out
    from storage_admin.settings import writing

    path = Path(file)
    writing.refuse(path, force=force)  # before a database is asked
    url = db_url if db_url is not None else next(filter(None, map(os.environ.get, URL_VARIABLES)), None)
    if url is None:
        writing.write(path, writing.first_file(path, None, schema), force=force)
        out.say(f"{path} written. Name your database in it: db-url.")
        return
    found = _look(url, schema)
    text = writing.first_file(path, url, schema, found)
    writing.write(path, text, force=force)
    out.say(f"{path} written, for {out.count_text(len(found.plans), 'session table')} at {found.database.url}")
    missing = [name for name in writing.variables_of(writing.without_secrets(url)) if not os.environ.get(name)]
    if missing:
        out.say(f"What is secret is not in it. Before the next command set {' and '.join(missing)}.")
    if path.name not in (OWN, SHARED):
        out.say(f"A file of this name is not looked for: --config {path}, or STORAGE_ADMIN_CONFIG={path}")


def _look(url: str, schema: str | None) -> Survey:
    from storage_admin.errors import NoTablesFound

    admin = open_admin(url, schema)
    try:
        return admin.check()
    except NoTablesFound:
        return admin.check([])
