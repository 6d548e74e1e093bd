"""storage-admin versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import catalog, output_option, typed
from storage_admin.cli.talk import talk_options

if TYPE_CHECKING:
    from storage_admin.catalog import Catalog, Version


@click.command("versions")
@click.argument("number", type=int, required=False, metavar="[N]")
@click.option("--verify", is_flag=True, help="Check that no released version file was changed.")
@output_option
@talk_options
def command(number: int | None, verify: bool, output: str) -> None:
    """Show the catalogue: every version, or the tables of version N."""
    from storage_admin.cli import output as out
    from storage_admin.cli.documents import versions_document

    versions = catalog()
    if verify and (number is not None or (output != "table" and typed("output"))):
        raise click.UsageError("--verify goes alone: it checks all files and prints a sentence.")
    if verify:
        unreleased = versions.verify()
        out.say(f"{out.count_text(versions.head - len(unreleased), 'released file')} unchanged.")
        if unreleased:
            out.say(f"Not released yet: {', '.join(unreleased)}")
        return
    numbers = list(range(1, versions.head + 1)) if number is None else [versions.version(number).number]
    if output != "table":
        out.emit(versions_document(versions, numbers), output)
    elif number is None:
        headers = ("Version", "Released", "Kinds", "What changed")
        out.show_table(headers, _rows(versions), right=("Version",), prose=headers[-1])
    else:
        _show(versions.version(number))


def _rows(versions: Catalog) -> list[tuple[object, ...]]:
    return [(v.number, v.released, ", ".join(v.changed), v.summary) for v in versions.versions]


def _show(version: Version) -> None:
    from storage_admin.cli import output as out

    click.echo(f"Version {version.number}, {version.released}: {version.summary}")
    for kind, schema in version.kinds.items():
        indexed = {columns[0] for index in schema.indexes if len(columns := index.columns) == 1}
        rows = [
            (
                column.name,
                column.type.value,
                "primary key" if column.primary_key else "index" if column.name in indexed else "",
                f"default {column.default}" if column.default else "",
            )
            for column in schema.columns
        ]
        changed = " (changed)" if kind in version.changed else ""
        click.echo(f"\n{click.style(kind, bold=True)}{changed}")
        out.show_table(("Column", "Type", "Key", "Default"), rows)
