"""Options that several commands share, and where their defaults come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage_admin.admin import StorageAdmin
    from storage_admin.catalog import Catalog

    Command = TypeVar("Command", bound=Callable[..., Any])

URL_VARIABLES = ("STORAGE_ADMIN_DB_URL", "DATABASE_URL")
CONFIG_FILES = ("pyproject.toml", "storage-admin.toml")
CONFIG_KEYS = ("db-url", "schema")

SCHEMA_HELP = "Where to look for tables and to create them; a TABLE with a schema of its own beats it."

_state: dict[str, Any] = {"debug": False, "urls": set()}


def debugging() -> bool:
    """Whether --debug was given."""
    return bool(_state["debug"])


def known_secrets() -> tuple[str, ...]:
    """Every secret in a URL that this process has read from anywhere."""
    from storage_admin.messages import secrets_in

    return tuple(secret for url in _state["urls"] for secret in secrets_in(url))


def _set_debug(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        _state["debug"] = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show where an error comes from."
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="How to show the result."
)
lock_file_option = click.option(
    "--lock-file",
    type=click.Path(dir_okay=False),
    default="storage-admin.lock",
    show_default=True,
    metavar="FILE",
    help="The file that `storage-admin lock` writes.",
)
tables_argument = click.argument("tables", nargs=-1, metavar="[TABLE]...")
role_option = click.option(
    "--role", metavar="NAME", help="SET ROLE first: act as the owner of the tables, whose member you are (PostgreSQL)."
)
lock_timeout_option = click.option(
    "--lock-timeout",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="MS",
    help="How long one attempt may hold others up, in milliseconds.",
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to go on trying while a table is in use.",
)
jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="How many tables to work on at a time, each on a connection of its own.",
)
to_option = click.option("--to", type=int, metavar="N", help="The version to go to; the newest without it.")


def database_options(command: Command) -> Command:
    """--db-url and --schema, as every command has them that reaches a database."""
    url = click.option("--db-url", metavar="URL", help="postgresql://user:password@host/database or sqlite:///file.db")
    schema = click.option(
        "--schema",
        metavar="NAME",
        help=SCHEMA_HELP,
    )
    return url(schema(debug_option(command)))


def catalog() -> Catalog:
    """The shipped catalogue, or the folder that STORAGE_ADMIN_VERSIONS names (to try a new version file)."""
    from pathlib import Path

    from storage_admin.catalog import load_catalog

    folder = os.environ.get("STORAGE_ADMIN_VERSIONS")
    return load_catalog(Path(folder)) if folder else load_catalog()


def open_admin(db_url: str | None, schema: str | None, role: str | None = None) -> StorageAdmin:
    """The facade for the database that the options, the environment or a file name.

    Raises:
        NoDatabaseURL, BadDatabaseURL, UnsupportedDatabase
    """
    from storage_admin.admin import StorageAdmin
    from storage_admin.errors import BadDatabaseURL, NoDatabaseURL

    # An empty --db-url is a variable that was never set: no reason to take another database than the one meant.
    url = db_url
    if url is None:
        url = next((os.environ[name] for name in URL_VARIABLES if os.environ.get(name)), None) or configured("db-url")
    if not url:
        raise NoDatabaseURL
    _state["urls"].add(url)
    if url.partition("://")[2] in ("", "/", "/:memory:") and url.startswith("sqlite"):
        raise BadDatabaseURL(problem="a path is missing after sqlite:///")
    return StorageAdmin(url, schema=schema or configured("schema"), catalog=catalog(), role=role)


def open_target(url: str) -> StorageAdmin:
    """The facade for a second database, to which something goes; a SQLite file is made if it is not there.

    Raises:
        BadDatabaseURL, UnsupportedDatabase
    """
    from storage_admin.admin import StorageAdmin

    _state["urls"].add(url)
    return StorageAdmin(url, catalog=catalog(), create=True)


def configured(key: str) -> str | None:
    """A setting of the files of settings, None where no file has it.

    Raises:
        UsageError: a file cannot be read, or has a setting that there is not.
    """
    from pathlib import Path

    from storage_admin.errors import UsageError

    for name in CONFIG_FILES:
        section = _section(Path(name)) if Path(name).is_file() else {}
        if unknown := sorted(section.keys() - set(CONFIG_KEYS)):
            raise UsageError(problem=f"{name}: {unknown[0]} is no setting. There are: {', '.join(CONFIG_KEYS)}.")
        value = section.get(key)
        if value is not None and not isinstance(value, str):
            raise UsageError(problem=f"{name}: {key} must be a text")
        if value:
            return value
    return None


def _section(file: Path) -> dict[str, Any]:
    from storage_admin.errors import UsageError
    from storage_admin.toml import TOMLDecodeError, loads

    try:
        content = loads(file.read_text(encoding="utf-8"))
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(problem=f"{file} cannot be read: {error}") from None
    if file.name == "pyproject.toml" or "tool" in content:
        content = content.get("tool", {}).get("storage-admin", {})
    return content
