"""storage-admin doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, open_admin, output_option, role_option
from storage_admin.cli.settings import Duration
from storage_admin.cli.talk import voice

if TYPE_CHECKING:
    from storage_admin.doctor import Diagnosis, Finding

EXIT_CODES = """\b
Exit codes:
  0   no problem; warnings and notes may be there
  1   a problem: an upgrade would fail, or the application already does
"""
COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "problem": "red"}
WIDTH = 8


@click.command("doctor", epilog=EXIT_CODES)
@database_options
@click.option(
    "--long",
    type=Duration(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="From which age on a transaction or a lock is worth a word.",
)
@role_option
@output_option
def command(db_url: str | None, schema: str | None, long: float, role: str | None, output: str) -> int:
    """Look for what is wrong or in the way of an upgrade.

    Each finding says what to do about it. It looks at the connection, the rights of the role, locks and timeouts,
    indexes, replication and settings, or at the file. It changes nothing, waits for nobody, and shows nothing of what
    the sessions hold. docs/troubleshooting.md has a section for each rule.
    """
    from storage_admin.cli import output as out
    from storage_admin.doctor import Level

    diagnosis = open_admin(db_url, schema, role).doctor(long=long)
    if output == "table":
        show(diagnosis)
    else:
        from storage_admin.cli.diagnosis import diagnosis_document

        out.emit(diagnosis_document(diagnosis, voice.redacted), output)
    return 1 if diagnosis.level is Level.PROBLEM else 0


def show(diagnosis: Diagnosis) -> None:
    """Print a diagnosis for people, the gravest first."""
    from storage_admin.cli.output import count_text, say
    from storage_admin.doctor import GRAVEST_FIRST, SHOWN, Level, alike

    info = diagnosis.database
    say(f"{info.server} at {info.url}\n")
    for found in alike(diagnosis.findings):
        for finding in found[:SHOWN]:
            _show(finding)
        if len(found) > SHOWN:
            level, more = found[0].level.value, f"{len(found) - SHOWN:,} more of this rule; -o json has all"
            click.echo(f"{_mark(level)} {found[0].rule}: {more}")
    totals = {level: sum(finding.level is level for finding in diagnosis.findings) for level in GRAVEST_FIRST}
    counts = [
        f"{number} {level.value}" if level is Level.OK else count_text(number, level.value)
        for level, number in totals.items()
    ]
    say(f"\n{', '.join(counts)}. docs/troubleshooting.md has a section for each rule.")


def _show(finding: Finding) -> None:
    click.echo(f"{_mark(finding.level.value)} {finding.rule}: {voice.redacted(finding.seen)}")
    if finding.advice:
        click.echo(f"{'':{WIDTH}} -> {voice.redacted(finding.advice)}")


def _mark(level: str) -> str:
    return click.style(level.ljust(WIDTH), fg=COLOURS[level])
