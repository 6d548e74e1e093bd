"""The commands, their options and variables as values: what documentation is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from storage_admin.cli.settings import URL_VARIABLES, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Variable(NamedTuple):
    """An environment variable, its option, and the commands that read it."""

    name: str
    option: str
    help: str
    commands: tuple[str, ...]


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its full name, groups too, sorted."""
    for name, command in sorted(group.commands.items()):
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


def arguments(command: click.Command) -> list[str]:
    """The arguments of a command, as its usage has them."""
    return [p.metavar or f"[{p.human_readable_name}]" for p in command.params if isinstance(p, click.Argument)]


def value_of(option: click.Option) -> str:
    """What an option takes, in a word; nothing for a flag."""
    return "" if option.is_flag else option.metavar or "|".join(map(str, getattr(option.type, "choices", ())))


def variables(group: click.Group) -> tuple[Variable, ...]:
    """Every variable, those of all commands first."""
    found: dict[str, Variable] = {}
    for name, command in [("", group), *commands(group)]:
        for option in command.params:
            names = URL_VARIABLES[:1] if option.name == "db_url" else variables_of(option)
            for variable in names if isinstance(option, click.Option) else ():
                known = found.get(variable, Variable(variable, max(option.opts, key=len), option.help or "", ()))
                found[variable] = known._replace(commands=(*known.commands, name))
    return tuple(sorted(found.values(), key=lambda each: (len(each.commands) == 1, each.name)))


def of_each(group: click.Group) -> frozenset[str]:
    """The options that have a variable of each command as well: how to speak, and in which form."""
    return frozenset({"--output", *(max(option.opts, key=len) for option in group.params)})
