"""storage-admin demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.talk import talk_options

if TYPE_CHECKING:
    from storage_admin.demo import Look


@click.command("demo")
@click.argument("file", default="storage-admin-demo.db", type=click.Path(dir_okay=False))
@click.option("--no-upgrade", is_flag=True, help="Make the file and stop: inspect and upgrade it yourself.")
@talk_options
def command(file: str, no_upgrade: bool) -> int:
    """Make a SQLite file with old tables, and upgrade it.

    It holds tables and conversations as four old releases left them.

    Shows inspect, plan, upgrade and check as you would type them, and what changed. FILE must not exist yet.
    """
    from pathlib import Path

    from storage_admin.demo import OLD_TABLES, build, look
    from storage_admin.errors import UsageError

    path = Path(file)
    if path.exists():
        raise UsageError(problem=f"{path} exists already. Name another file, or remove it first.")
    if not path.absolute().parent.is_dir():
        raise UsageError(problem=f"There is no folder {path.absolute().parent} to make {path.name} in.")
    url = build(path)
    _title(f"{path}: conversations as four old releases left them")
    for old in OLD_TABLES:
        click.echo(f"  {old.name:15} {' and '.join(old.kinds):15} as {old.releases} made it")
    if no_upgrade:
        click.echo(f"\nLook at it: storage-admin inspect --db-url {url}")
        return 0
    before = {old.name: look(url, old.name) for old in OLD_TABLES}
    codes = [_show(command, url) for command in ("inspect", "plan", "upgrade", "check", "history")]
    _title("What changed")
    for old in OLD_TABLES:
        _compare(old.name, before[old.name], look(url, old.name, before[old.name].columns))
    click.echo(f"\nThe file stays for you to try things on: --db-url {url}")
    return max(codes)


def _title(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


def _show(name: str, url: str) -> int:
    from storage_admin.cli import run

    _title(f"$ storage-admin {name} --db-url {url}")
    return run([name, "--db-url", url])


def _compare(name: str, before: Look, after: Look) -> None:
    added = ", ".join(column for column in after.columns if column not in before.columns)
    same = "every stored byte as before" if after.digest == before.digest else "STORED BYTES DIFFER"
    click.echo(f"  {name}: new columns {added or 'none'}; {after.sessions} of {before.sessions} sessions, {same}")
    click.echo(f"    last answer: {click.style(after.last_answer, fg='cyan')}")
