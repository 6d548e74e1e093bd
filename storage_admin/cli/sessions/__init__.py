"""storage-admin sessions: the rows, where the other commands look after their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.settings import with_variables

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class _Sessions(click.Group):
    """A group whose commands are imported when somebody asks for them: half of all, which no other command needs."""

    _loaded: dict[str, click.Command] | None = None

    # click has it as an attribute, which is all the same to whoever reads it.
    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """The commands by their names."""
        if self._loaded is None:
            from storage_admin.cli.sessions import copy, delete, export, listing, load, prune, rename, show, stats

            modules = (listing, show, stats, rename, delete, export, copy, prune)
            found = [*(module.command for module in modules), load.import_command, load.restore_command]
            self._loaded = {
                str(command.name): with_variables(command, "sessions", str(command.name)) for command in found
            }
        return self._loaded

    @commands.setter
    def commands(self, _empty: MutableMapping[str, click.Command]) -> None:
        """What click begins with."""


@click.group("sessions", cls=_Sessions, no_args_is_help=True)
def command() -> None:
    """See, count, change and move the sessions in the tables.

    Without TABLE each takes all tables that it finds.
    """
