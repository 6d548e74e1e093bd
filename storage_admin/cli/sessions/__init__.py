"""storage-admin sessions: the rows, where the other commands look after their tables."""

from __future__ import annotations

import click

from storage_admin.cli.sessions import copy, delete, export, listing, load, prune, rename, show, stats


@click.group("sessions", no_args_is_help=True)
def command() -> None:
    """See, count, rename, delete, prune, export, import and copy the sessions in the tables.

    Without TABLE each takes all tables that it finds.
    """


for module in (listing, show, stats, rename, delete, export, copy, prune):
    command.add_command(module.command)
for loading in (load.import_command, load.restore_command):
    command.add_command(loading)
