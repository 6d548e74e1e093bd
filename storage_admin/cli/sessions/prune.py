"""storage-admin sessions prune."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from storage_admin.cli.options import (
    database_options,
    lock_timeout_option,
    output_option,
    tables_argument,
    wait_option,
)
from storage_admin.cli.sessions.options import agreed, filter_of, open_sessions, whose_options
from storage_admin.cli.settings import Duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.sessions import Candidates, Old, PruneReport, Sessions

LEFT = 5  # the exit code of "somebody held it", as everywhere


@click.command("prune")
@tables_argument
@click.option("--older-than", required=True, metavar="AGE", help="Not used for this long: 90d, 12h, 26w.")
@whose_options
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Never the N newest of a user in a table.")
@click.option("--max-rows", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@click.option("--pause", type=Duration(min=0), default=0, metavar="MS", help="Between two transactions.")
@click.option(
    "--archive",
    type=click.Path(),
    metavar="FILE",
    help="Where to put what is removed; pruned-DATETIME.jsonl without it.",
)
@click.option("--no-archive", is_flag=True, help="Keep nothing of what is removed.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@lock_timeout_option
@wait_option
@database_options
@output_option
def command(
    tables: tuple[str, ...],
    older_than: str,
    keep_last: int | None,
    max_rows: int | None,
    pause: float,
    archive: str | None,
    no_archive: bool,
    dry_run: bool,
    yes: bool,
    lock_timeout: int,
    wait: float,
    db_url: str | None,
    schema: str | None,
    output: str,
    **options: str | None,
) -> int:
    """Remove sessions that nobody has used for long, beside their writers; shows how many, and asks.

    They go into an archive first, which `sessions restore` brings back. A session that is used meanwhile stays. What
    was cut off goes on where it was with the same --archive.
    """
    import time

    from storage_admin.cli.output import say
    from storage_admin.locking import Patience
    from storage_admin.sessions import Old, parse_age

    if archive is not None and no_archive:
        raise click.UsageError("Either --archive or --no-archive.")
    sessions = open_sessions(db_url, schema)
    old = Old(int(time.time()) - parse_age(older_than), filter_of(sessions, options), keep_last)
    place = None if no_archive else _place(sessions, old, archive)
    found = sessions.prunable(old, tables or None, archive=place)
    show_candidates(found)
    if _begun(place) and not dry_run:
        say(f"{place}.partial is there: what an earlier prune removed is in it, and this one goes on with it.")
    if dry_run or not (found or _begun(place)):
        _show_dry(found, output, dry_run=dry_run, max_rows=max_rows)
        return 0
    if not yes and not agreed(f"Remove them{' for good' if place is None else f' into {place}'}?"):
        return 1
    limits = {"max_rows": max_rows, "pause": pause / 1000, "patience": Patience(lock_timeout, wait)}
    total = sum(each.sessions for each in found)
    report = _prune(sessions, old, tables, place, total=min(total, max_rows or total), **limits)
    show(report, output)
    return LEFT if report.left and max_rows is None else 0


def _place(sessions: Sessions, old: Old, archive: str | None) -> str:
    """The archive: the one that was named, or what a prune of the same left unnamed, or a new one."""
    import time
    from pathlib import Path

    from storage_admin.errors import FileExists, NotTheSamePrune

    if archive is not None:
        return archive
    for partial in sorted(Path().glob("pruned-*.jsonl.partial")):
        with suppress(FileExists, NotTheSamePrune):
            sessions.refuse_archive(old, partial.stem)
            return partial.stem
    return f"pruned-{time.strftime('%Y-%m-%dT%H%M%S')}.jsonl"


def _prune(sessions: Sessions, old: Old, tables: tuple[str, ...], place: str | None, **options: Any) -> PruneReport:
    from storage_admin.cli.output import say
    from storage_admin.cli.sessions.transfer import transfer_progress
    from storage_admin.errors import FileInUse, UsageError

    try:
        with transfer_progress("prune") as told:
            return sessions.prune(old, tables or None, archive=place, told=told, **options)
    except (FileInUse, UsageError):
        raise
    except BaseException:
        if _begun(place):  # which it is not where nothing was removed
            say(f"What was removed so far is in {place}.partial; the same command with --archive {place} goes on.")
        raise


def _show_dry(found: tuple[Candidates, ...], output: str, *, dry_run: bool, max_rows: int | None) -> None:
    """Say that nothing was removed."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import candidates_document, pruned_document
    from storage_admin.sessions import PruneReport

    if output != "table":
        out.emit(candidates_document(found) if dry_run else pruned_document(PruneReport(())), output)
    total = sum(each.sessions for each in found)
    most = f"; a run with --max-rows {max_rows} would remove that many" if max_rows and max_rows < total else ""
    out.say(f"Nothing was removed{most}." if found else "Nothing is that old.")


def _begun(place: str | None) -> bool:
    from pathlib import Path

    return place is not None and Path(f"{place}.partial").exists() and not Path(place).exists()


def show_candidates(found: Iterable[Candidates]) -> None:
    """Say what would go."""
    from storage_admin.cli import output as out

    for each in found:
        span = f"last used from {out.time_text(each.oldest)} to {out.time_text(each.newest)} UTC"
        out.say(f"{each.table}: {out.count_text(each.sessions, 'session')}, {out.size_text(each.bytes)}, {span}")


def show(report: PruneReport, output: str) -> None:
    """Say what went, and what did not."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import pruned_document

    if output != "table":
        out.emit(pruned_document(report), output)
    for table in report.tables:
        if table.left:
            out.say(f"{table.table}: {out.count_text(table.left, 'old session')} still there; run it again for them")
    out.say(f"{out.count_text(report.sessions, 'session')} removed")
    if report.manifest is not None:
        there = out.count_text(report.manifest.sessions, "session")
        out.say(f"{report.archive} holds {there}; `storage-admin sessions restore {report.archive}` brings them back")
