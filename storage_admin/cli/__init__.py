"""The command line. Each command is one call deep: it reads its options, calls the library, shows the result."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import click

from storage_admin.cli import (
    check,
    completion,
    demo,
    doctor,
    history,
    init,
    inspect,
    lock,
    plan,
    repair,
    report,
    revision,
    sessions,
    upgrade,
    versions,
    wait,
)
from storage_admin.cli.settings import with_variables
from storage_admin.cli.talk import colour_wanted, records_wanted, talk_options, voice
from storage_admin.errors import StorageAdminError
from storage_admin.version import __version__

EXIT_CODES = """\b
Exit codes:
  0   fine
  1   error
  2   changes are pending (check, wait)
  3   drift: a table differs in a way that only its owner can mend
  4   the database was upgraded by a newer release
  5   a lock could not be obtained in time
  6   some of several tables failed
  64  wrong usage
  130 interrupted (Ctrl-C, SIGINT)
  143 terminated (SIGTERM)
"""


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C would end in order, it ends in order too."""

    exit_code = 143


class _Interruptible(click.Group):
    """A group that keeps which signal it was: click writes an empty line instead, and forgets."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            return voice.interrupted(interrupt)


@click.group(
    cls=_Interruptible,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)
@click.version_option(__version__, "-V", "--version", message="storage-admin %(version)s")
@talk_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Bring the session tables of Agno and phidata to the current schema, without losing a stored word.

    TABLE is [SCHEMA.]NAME[=KIND[,KIND...]]. Without TABLE a command takes every session table that it finds by its
    shape. The database is named by --db-url or --target after the command, STORAGE_ADMIN_DB_URL, DATABASE_URL, or
    db-url under [tool.storage-admin] in pyproject.toml or storage-admin.toml, in this order. How to speak may be said
    before the command or after it, and every option in a variable: docs/configuration.md.
    """
    ctx.color = colour_wanted()


MODULES = (
    upgrade,
    plan,
    revision,
    inspect,
    check,
    lock,
    doctor,
    wait,
    repair,
    history,
    versions,
    report,
    sessions,
    init,
    completion,
    demo,
)
with_variables(cli)
for module in MODULES:
    cli.add_command(with_variables(module.command, str(module.command.name)))


def main() -> None:
    """The entry point: every error becomes one sentence and one exit code."""
    # A CI step and a container's start wait for us. Collecting garbage during the imports takes a tenth of the time,
    # tearing the modules down at the end another one, and neither frees anything that the system does not.
    gc.set_threshold(100_000)
    signal.signal(signal.SIGTERM, _terminate)
    code = run(sys.argv[1:])
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if "opentelemetry.sdk" in sys.modules:  # whose spans leave in a hook at the end
        sys.exit(code)
    os._exit(code)


def _terminate(_number: int, _frame: object) -> None:
    raise Terminated("Terminated.")


def run(arguments: list[str]) -> int:
    """Run the command line; return its exit code."""
    with voice.kept():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        _refuse_what_is_no_text(arguments)
        result = cli.main(arguments, prog_name="storage-admin", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        if (wanted := records_wanted(arguments)) is not None:
            voice.json = wanted
        return voice.misused(error)
    except click.Abort as error:
        return voice.interrupted(error.__cause__ or KeyboardInterrupt())
    except StorageAdminError as error:
        return voice.failed(error)
    except (BrokenPipeError, SystemExit) as error:  # click turns the one into the other
        if not isinstance(error, SystemExit) or error.code:  # or it has completed what is being typed
            _stop_writing()
        return 0
    except Exception as error:  # noqa: BLE001 - a person sees a sentence, whatever happened
        return voice.failed(error, unexpected=True)
    return result if isinstance(result, int) else 0


def _refuse_what_is_no_text(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode(errors="backslashreplace")
            raise click.UsageError(f"The argument {shown} is no UTF-8.") from None


def _stop_writing() -> None:
    # Whoever read our output (head, less) has enough; without this Python complains once more at exit.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
