"""Options that several of these commands share: which sessions are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from storage_admin.cli import completing

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.sessions import Filter, Sessions

    Command = TypeVar("Command", bound=Callable[..., Any])

FILTERS = (
    click.option("--user", metavar="USER", help="Only sessions of this user_id."),
    click.option("--entity", metavar="ID", help="Only sessions of this agent_id, team_id or workflow_id."),
    click.option(
        "--kind",
        metavar="KIND",
        shell_complete=completing.kinds,
        help="Only sessions of this kind: agent, team, workflow, workflow_v2.",
    ),
    click.option("--before", metavar="TIME", help="Used last before this: 2026-01-31, 90d (ago), or a Unix time."),
    click.option("--after", metavar="TIME", help="Used last at this time or later."),
    click.option("--created-before", metavar="TIME", help="Created before this."),
    click.option("--created-after", metavar="TIME", help="Created at this time or later."),
    click.option("--contains", metavar="TEXT", help="With this text in its JSON. Reads every row."),
)


table_option = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE",
    shell_complete=completing.tables,
    help="Only in this table; may be given again.",
)
conflict_option = click.option(
    "--on-conflict",
    type=click.Choice(["error", "skip", "newer", "replace"]),
    default="error",
    show_default=True,
    help="A session that is there and differs: set the new one aside, leave it, replace what is older, or any.",
)


def filter_options(command: Command) -> Command:
    """The options that make a filter."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


def whose_options(command: Command) -> Command:
    """Those of them that say whose sessions are meant."""
    for option in reversed(FILTERS[:3]):
        command = option(command)
    return command


def filter_of(sessions: Sessions, options: dict[str, str | None], ids: tuple[str, ...] = ()) -> Filter:
    """The filter that the options make.

    Raises:
        UsageError: a time cannot be read. UnknownKind: there is no such kind.
    """
    from storage_admin.sessions import Filter, parse_time

    kind = options.get("kind")
    moments = {
        name: parse_time(text)
        for name in ("before", "after", "created_before", "created_after")
        if (text := options.get(name)) is not None
    }
    return Filter(
        ids=ids,
        user=options.get("user"),
        entity=options.get("entity"),
        kind=sessions.admin.catalog.known_kind(kind) if kind is not None else None,
        contains=options.get("contains"),
        **moments,
    )


def agreed(question: str) -> bool:
    """Ask a person. Where nobody is there to answer, that is a no, and it is said how not to be asked."""
    from storage_admin.cli.talk import voice

    try:
        if voice.json:  # a question is no record
            raise click.Abort
        answer = click.confirm(question, err=True)
    except click.Abort:
        voice("\nNobody answered, so nothing was done. --yes does not ask.", level="warning")
        return False
    if not answer:
        voice("Nothing was done.")
    return answer


def open_sessions(db_url: str | None, schema: str | None) -> Sessions:
    """The sessions of the database that the options, the environment or a file name."""
    from storage_admin.cli.options import open_admin
    from storage_admin.sessions import Sessions

    return Sessions(open_admin(db_url, schema))
