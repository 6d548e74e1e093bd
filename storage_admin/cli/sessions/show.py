"""storage-admin sessions show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, output_option, tables_argument
from storage_admin.cli.sessions.options import open_sessions

if TYPE_CHECKING:
    from storage_admin.sessions import Message, Session

NAME_SHOWN = 80
FOLDED = 200  # characters of a tool's arguments or result, and of what a model was told to be
LAYOUT = "\n\t"  # of what was said; all else that a terminal obeys goes
COLOURS = {"user": "cyan", "assistant": "green", "tool": "yellow", "system": "magenta", "developer": "magenta"}


@click.command("show")
@click.argument("session_id", metavar="ID")
@tables_argument
@click.option("--raw", is_flag=True, help="The row as it is stored, every column, as JSON.")
@click.option("--full", is_flag=True, help="Fold nothing: tool calls, results and system messages at full length.")
@database_options
@output_option
def command(
    session_id: str,
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    raw: bool,
    full: bool,
    output: str,
) -> None:
    """Show the conversation of a session: who said what and when, which tools were called, how many tokens it took."""
    import msgspec

    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import session_document

    found = open_sessions(db_url, schema).show(session_id, tables or None)
    for session in found:
        if raw:
            click.echo(msgspec.json.format(msgspec.json.encode(session.values), indent=2).decode())
        elif output != "table":
            out.emit(session_document(session), output)
        else:
            _show(session, full=full)
    if len(found) > 1:
        out.show_notes([f"{len(found)} tables have this session; name one to see it alone"])


def _show(session: Session, *, full: bool) -> None:
    from storage_admin.cli import output as out
    from storage_admin.sessions import conversation

    about = [f"{session.table}, {session.kind} {session.entity_id or ''}".strip()]
    about += [f"user {session.user_id}"] if session.user_id else []
    about += [f"named {out.cut_text(session.name, NAME_SHOWN)}"] if session.name else []
    about += [f"created {out.time_text(session.values.get('created_at'))} UTC"]
    if session.values.get("updated_at") is not None:
        about += [f"updated {out.time_text(session.values['updated_at'])} UTC"]
    click.echo(f"{click.style(out.one_line(session.session_id), bold=True)}: {out.one_line(', '.join(about))}")
    messages = conversation(session)
    run = 0
    for message in messages:
        if message.run != run:
            run = message.run
            click.echo(f"\n--- run {run} ---")
        _show_message(message, full=full)
    if not messages:
        out.say("There are no messages in it; --raw shows the row.")
        return
    asked, answered = (sum(getattr(m, name) for m in messages) for name in ("input_tokens", "output_tokens"))
    tokens = f", {asked:,} tokens in, {answered:,} out" if asked or answered else ""
    out.say(f"\n{out.count_text(len(messages), 'message')} in {out.count_text(run, 'run')}{tokens}")


def _show_message(message: Message, *, full: bool) -> None:
    from storage_admin.cli import output as out

    who = f"{message.role} {message.tool}" if message.tool else message.role
    at = f" {out.time_text(message.at)}" if message.at is not None else ""
    folds = not full and message.role not in ("user", "assistant")
    content = _folded(message.content) if folds else message.content
    label = click.style(out.one_line(who), fg=COLOURS.get(message.role), bold=True)
    click.echo(f"{label}{at}: {out.one_line(content, LAYOUT)}" if content else f"{label}{at}:")
    for call in message.tool_calls:
        arguments = call.arguments if full else _folded(call.arguments)
        click.echo(f"  calls {out.one_line(call.name)}({out.one_line(arguments, LAYOUT)})")


def _folded(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= FOLDED else f"{line[:FOLDED]}... ({len(text):,} characters)"
