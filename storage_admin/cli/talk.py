"""What is said on stderr, and how: as text for a person, or each line as a JSON object for whatever collects logs."""

from __future__ import annotations

import itertools
import os
import re
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Command = TypeVar("Command", bound=Callable[..., Any])

SAID = "storage_admin.said"  # key of what the contexts of one run share: what was asked for, and whether it was typed
FIRST = ("time", "level", "event", "message")  # of a record; no fact takes their place


# What only reads, but for what takes a lock or changes rows on its way.
READS = re.compile(
    r"\s*((SELECT|WITH|SHOW|PRAGMA|EXPLAIN|SAVEPOINT|RELEASE)\b|COPY \(|BEGIN.*\bREAD ONLY\b)", re.IGNORECASE
)
WORKS = re.compile(
    r"\b(pg_\w*advisory\w*|GET_LOCK|RELEASE_LOCK)\(|\bFOR (NO KEY )?(UPDATE|SHARE)\b"
    r"|\b(INSERT INTO|DELETE FROM|UPDATE \S+ SET)\b",
    re.IGNORECASE,
)
ALL = 2


def changes(statement: str) -> bool:
    """Whether a statement changes or locks something, or sets how the session does that."""
    return READS.match(statement) is None or WORKS.search(statement) is not None


class Voice:
    """How this process speaks. ``urls`` are those that it has read, whose secrets are never shown."""

    def __init__(self) -> None:
        self.debug = self.quiet = self.json = False
        self.verbose = 0  # 1: which statements change or lock something, 2: all
        self.target: str | None = None  # of several, the one that is at work
        self.urls: set[str] = set()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever is set within counts no longer than that, but for the URLs."""
        before = vars(self).copy()
        try:
            yield
        finally:
            vars(self).update(before)

    def __call__(self, text: str, /, *, event: str = "said", level: str = "info", **facts: Any) -> None:
        """Say something; with --quiet errors alone. ``facts`` go into a record, beside the message."""
        if self.quiet and level != "error":
            return
        if self.json:
            self._record(text, event, level, facts)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        if self.target is not None:
            text = "\n".join(f"{self.target}: {line}" if line.strip() else line for line in text.split("\n"))
        click.echo(text, err=True, color=colour_wanted())

    def _record(self, text: str, event: str, level: str, facts: dict[str, Any]) -> None:
        import json
        from datetime import datetime, timezone

        message = click.unstyle(text).strip()
        if not message:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        named = {"target": self.target} if self.target is not None else {}
        record = dict(zip(FIRST, (now, level, event, message), strict=True))
        record |= {key: value for key, value in (named | facts).items() if key not in FIRST}
        click.echo(json.dumps(record), err=True)

    def statement(self, statement: str) -> None:
        """Say that a statement is sent, where that was asked for."""
        if not self.verbose or (self.verbose < ALL and not changes(statement)):
            return
        line = " ".join(self.redacted(statement).split())
        facts = {"statement": line} if self.json else {}
        said = "Sent" if self.json else f"{click.style('Sent:', dim=True)} {line}"
        self(said, event="statement", level="debug", **facts)

    def redacted(self, text: str) -> str:
        """A text without the secrets of any URL that this process has read."""
        from storage_admin.messages import redact

        return redact(text, self.secrets())

    def secrets(self) -> tuple[str, ...]:
        """Every secret in a URL that this process has read from anywhere."""
        from storage_admin.messages import secrets_in

        return tuple(secret for url in self.urls for secret in secrets_in(url))

    def failed(self, error: Exception, *, unexpected: bool = False) -> int:
        """Say what failed; return the exit code for it."""
        code = 1 if unexpected else getattr(error, "exit_code", 1)
        message = str(error)
        if unexpected:
            message = f"unexpected {type(error).__name__}: {error}. Run it again with --debug to see where."
        facts = self.facts_of(error) | {"error": type(error).__name__, "exit_code": code}
        if self.debug:
            import traceback

            trace = self.redacted("".join(traceback.format_exception(error)))
            if self.json:
                facts["traceback"] = trace
            else:
                self._line(trace)
        label = click.style("Error:", fg="red", bold=True)
        message = self.redacted(message)
        self(message if self.json else f"{label} {message}", event="error", level="error", **facts)
        return code

    def interrupted(self, interrupt: BaseException) -> int:
        """Say that a signal ended it, and what was done before; return the exit code for it."""
        code: int = getattr(interrupt, "exit_code", 130)
        facts = self.facts_of(interrupt)
        said = self.redacted(str(interrupt)) or "Interrupted."
        label = f"{click.style('Error:', fg='red', bold=True)} " if facts and not self.json else ""
        facts |= {"error": type(interrupt).__name__, "exit_code": code}
        self(label + said, event="error", level="error", **facts)
        return code

    def facts_of(self, error: BaseException) -> dict[str, Any]:
        """What an error knows, as far as a record can hold it."""
        from storage_admin.naming import TableRef
        from storage_admin.schema import TableName

        facts = getattr(error, "facts", {})
        short = (str, os.PathLike, TableName, TableRef)
        texts = {key: self.redacted(str(value)) for key, value in facts.items() if isinstance(value, short)}
        return texts | {key: value for key, value in facts.items() if isinstance(value, (bool, int, float))}

    def misused(self, error: click.ClickException) -> int:
        """Say what is wrong with the command line; return the exit code for it."""
        code = 64 if isinstance(error, click.UsageError) else 1
        error = _naming_the_variable(_naming_the_place(error))
        if isinstance(error, click.NoSuchOption) and error.possibilities:
            meant = _meant(error.option_name, error.possibilities)
            error = click.NoSuchOption(error.option_name, possibilities=meant, ctx=error.ctx)
        if self.json:
            message = self.redacted(error.format_message())
            self(message, event="error", level="error", error=type(error).__name__, exit_code=code)
        else:
            shown = StringIO()
            error.show(shown)
            click.echo(self.redacted(shown.getvalue()), err=True, nl=False)
        return code


voice = Voice()


def _meant(option: str, known: Iterable[str]) -> list[str]:
    """Those options that are as similar without the dashes, which all have."""
    import difflib

    names = {each.lstrip("-"): each for each in known}
    return [names[each] for each in difflib.get_close_matches(option.lstrip("-"), names)]


def colour_wanted() -> bool | None:
    """True, False, or None for "where the output is a terminal" (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None


def _naming_the_variable(error: click.ClickException) -> click.ClickException:
    # click names the option, which is not on the command line.
    if isinstance(error, click.BadParameter) and error.ctx is not None and error.param is not None:
        source = error.ctx.get_parameter_source(error.param.name or "")
        if source is ParameterSource.ENVIRONMENT:
            from storage_admin.cli.settings import variables_of

            name = next(filter(os.environ.get, variables_of(error.param)), "the environment")
            said = f"{error.message.rstrip('.')}. It comes from {name}."
            return click.BadParameter(said, error.ctx, error.param)
    return error


def _naming_the_place(error: click.ClickException) -> click.ClickException:
    # click suggests whatever is spelled alike.
    group = error.ctx.command if isinstance(error, click.NoSuchOption) and error.ctx is not None else None
    if isinstance(error, click.NoSuchOption) and isinstance(group, click.Group):
        from storage_admin.cli.reference import commands

        known = {name for _, command in commands(group) for option in command.params for name in option.opts}
        if error.option_name in known:
            return click.UsageError(f"{error.option_name} goes after the command.", error.ctx)
    return error


def records_wanted(arguments: Sequence[str]) -> bool | None:
    """Whether a command line that could not be read asks for records; None where it says nothing of it."""
    words = list(itertools.takewhile(lambda word: word != "--", arguments))
    text = "\n".join(words)
    named = re.findall(r"^--log-format[=\n](.*)$", text, flags=re.MULTILINE)
    return named[-1] == "json" if named else None


def talk_options(command: Command) -> Command:
    """How to speak: before the name of a command and after it."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def _debug(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    voice.debug = voice.debug or value


def _how_much(ctx: click.Context, param: click.Parameter, value: int) -> None:
    """--quiet or --verbose: the command line before the environment, and not both from one of them."""
    if not value:
        return
    own = str(param.name)
    other = "quiet" if own == "verbose" else "verbose"
    said: dict[str, bool] = ctx.meta.setdefault(SAID, {})
    typed = ctx.get_parameter_source(own) is ParameterSource.COMMANDLINE
    if said.get(other) == typed:
        raise click.UsageError("Either --quiet or --verbose: one says less, the other more.", ctx)
    if other not in said or typed:
        said.pop(other, None)
        said[own] = typed or said.get(own, False)
        setattr(voice, own, max(getattr(voice, own), value))
        setattr(voice, other, type(value)())


def _times(value: Any) -> int:
    """How often an option is given; a variable has the number, or what a flag has."""
    return int(value) if str(value).isdecimal() else int(click.BOOL.convert(value, None, None))


def _set_format(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        voice.json = value == "json"


FLAG: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True}
OPTIONS = (
    click.option(
        "-q",
        "--quiet",
        **FLAG,
        callback=_how_much,
        help="Say nothing on stderr but errors.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        type=_times,
        expose_value=False,
        is_eager=True,
        callback=_how_much,
        help="Say which statements are sent that change or lock something, without the values in them; twice: all.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        is_eager=True,
        callback=_set_format,
        help="How to speak on stderr: text, or a JSON object on each line.",
    ),
    click.option("--debug", **FLAG, callback=_debug, help="Show where an error comes from."),
)
