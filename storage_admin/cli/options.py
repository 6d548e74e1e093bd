"""Options that several commands share, and where their defaults come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from storage_admin.cli import completing
from storage_admin.cli.settings import (
    FORMS,
    Duration,
    Output,
    Setting,
    config_option,
    database_url,
    db_url_option,
    shared,
    target_option,
)
from storage_admin.cli.talk import talk_options, voice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage_admin.admin import StorageAdmin
    from storage_admin.catalog import Catalog

    Command = TypeVar("Command", bound=Callable[..., Any])

SCHEMA_HELP = "Where to look for tables and to create them; a TABLE with a schema of its own beats it."


def typed(name: str) -> bool:
    """Whether an option is on the command line itself, and is no habit from the environment or the file."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


output_option = click.option(
    "-o",
    "--output",
    cls=Output,
    type=click.Choice(FORMS),
    default="table",
    help="How to show the result.",
)
lock_file_option = click.option(
    "--lock-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    **shared("LOCK_FILE"),
    help="The file that `storage-admin lock` writes. Without it: storage-admin.lock here, or above in the repository.",
)
tables_argument = click.argument("tables", nargs=-1, metavar="[TABLE]...", shell_complete=completing.tables)
role_option = click.option(
    "--role",
    cls=Setting,
    metavar="NAME",
    help="SET ROLE first: act as the owner of the tables, whose member you are (PostgreSQL).",
)
lock_timeout_option = click.option(
    "--lock-timeout",
    cls=Setting,
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="MS",
    help="How long one attempt may hold others up, in milliseconds.",
)
wait_option = click.option(
    "--wait",
    cls=Setting,
    type=Duration(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to go on trying while a table is in use.",
)
jobs_option = click.option(
    "-j",
    "--jobs",
    cls=Setting,
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="How many tables to work on at a time, each on a connection of its own.",
)
to_option = click.option("--to", type=int, metavar="N", help="The version to go to; the newest without it.")


def database_options(command: Command) -> Command:
    """Which database, as every command asks that reaches one, and how to speak."""
    schema = click.option("--schema", cls=Setting, metavar="NAME", help=SCHEMA_HELP)
    return db_url_option(target_option(schema(config_option(talk_options(command)))))


def catalog() -> Catalog:
    """The shipped catalogue, or the folder that STORAGE_ADMIN_VERSIONS names (to try a new version file)."""
    from pathlib import Path

    from storage_admin.catalog import load_catalog

    folder = os.environ.get("STORAGE_ADMIN_VERSIONS")
    return load_catalog(Path(folder)) if folder else load_catalog()


def lock_path(given: str | None) -> Path:
    """The lock file that is meant: the named one, the nearest one, or a new one beside the settings, else here.

    Raises:
        BadSettings
    """
    from contextlib import suppress
    from pathlib import Path

    from storage_admin.settings.finding import LOCK, find, nearest

    if given is not None:
        return Path(given)
    with suppress(FileNotFoundError):  # the folder that we are in was removed
        here = Path.cwd()
        found = nearest(here, LOCK)
        settings = find(here) if found is None else None
        path = found or (settings.parent if settings is not None else here) / LOCK
        return Path(os.path.relpath(path))
    return Path(LOCK)


def open_admin(db_url: str | None, schema: str | None, role: str | None = None) -> StorageAdmin:
    """The facade for the database that the options, the environment or a file name.

    Raises:
        NoDatabaseURL, BadDatabaseURL, UnsupportedDatabase
    """
    from storage_admin.admin import StorageAdmin
    from storage_admin.errors import BadDatabaseURL, EmptyDatabaseURL, NoDatabaseURL

    url = database_url(db_url)
    if not url:
        raise NoDatabaseURL if url is None else EmptyDatabaseURL
    _meet(url)
    if url.partition("://")[2] in ("", "/", "/:memory:") and url.startswith("sqlite"):
        raise BadDatabaseURL(problem="a path is missing after sqlite:///")
    return StorageAdmin(url, schema=schema, catalog=catalog(), role=role)


def open_target(url: str) -> StorageAdmin:
    """The facade for a second database, to which something goes; a SQLite file is made if it is not there.

    Raises:
        BadDatabaseURL, UnsupportedDatabase
    """
    from storage_admin.admin import StorageAdmin

    _meet(url)
    return StorageAdmin(url, catalog=catalog(), create=True)


def _meet(url: str) -> None:
    voice.urls.add(url)
    if voice.verbose:
        from storage_admin.database import tell_statements

        tell_statements(voice.statement)
