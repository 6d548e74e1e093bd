"""What an option is that the command line does not give: by a target, the environment or the file of settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from storage_admin.cli import completing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage_admin.settings.reading import SettingsFile

PREFIX = "STORAGE_ADMIN"
GENERAL_OUTPUT = f"{PREFIX}_OUTPUT"
LONGEST = 1e9  # in whatever unit
FORMS, CI_OUTPUTS = ("table", "json", "yaml"), ("github", "junit", "sarif")
OUTPUTS = (*FORMS, *CI_OUTPUTS)  # of any command
STATES = ("pending", "drift", "ahead")  # of a check
SAID_EACH_TIME = ("yes", "force", "version")  # and --help, which click adds for itself
OWN_VARIABLE = f"{PREFIX}_DB_URL"
URL_VARIABLES = (OWN_VARIABLE, "DATABASE_URL")
# Keys of what the contexts of one run share.
FILE, CONFIG, TARGET, EACH = (f"storage_admin.{key}" for key in ("file", "config", "target", "each"))


def shared(name: str) -> dict[str, Any]:
    """How click is told of the one variable of an option that is the same for all commands."""
    return {"envvar": f"{PREFIX}_{name}", "allow_from_autoenv": False}


def with_variables(command: click.Command, *before: str) -> click.Command:
    """Let every option of a command be said in a variable, by its long name.

    Not what answers a question, replaces what is there, or takes the command's place: that is said each time.
    ``before`` are the names of the groups that the command is in.
    """
    prefix = "_".join(word.upper().replace("-", "_") for word in (PREFIX, *before))
    for option in command.params:
        if isinstance(option, Output):
            option.envvar = (f"{prefix}_OUTPUT", GENERAL_OUTPUT)
        elif isinstance(option, click.Option) and option.envvar is None and option.allow_from_autoenv:
            option.envvar = None if option.name in SAID_EACH_TIME else f"{prefix}_{variable_part(option)}"
    return command


def variables_of(option: click.Parameter) -> tuple[str, ...]:
    """The environment variables that an option is read from, the first that is set; the last is for most commands."""
    return (option.envvar,) if isinstance(option.envvar, str) else tuple(option.envvar or ())


def variable_part(option: click.Option) -> str:
    """What a variable calls an option: ``LOCK_TIMEOUT``."""
    return max(option.opts, key=len).lstrip("-").upper().replace("-", "_")


class Output(click.Option):
    """-o. The variable for all commands may name a form that another command has: then this one has its usual form."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """What a variable says, None where that is for others."""
        value = super().resolve_envvar_value(ctx)
        choices = getattr(self.type, "choices", ())
        own, _ = variables_of(self)
        return None if value in OUTPUTS and value not in choices and not os.environ.get(own) else value


class Duration(click.FloatRange):
    """A length of time: not infinite, not "nan", and not more than any clock counts to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not number <= LONGEST:  # also what is no number
            self.fail(f"{value} is no length of time, or one that nobody waits for.", param, ctx)
        return number


class Setting(click.Option):
    """An option that may stand in the file of settings, under its own name."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.envvar, self.allow_from_autoenv = f"{PREFIX}_{variable_part(self)}", False

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """What the command line, else the target that it names, the environment, or the file says."""
        value, source = super().consume_value(ctx, opts)
        if source is ParameterSource.COMMANDLINE or not self.name or ctx.resilient_parsing:
            return value, source
        named = named_target(ctx)
        if source is ParameterSource.ENVIRONMENT and (named is None or not _says(ctx, named, self.name)):
            return value, source
        found = configured(ctx, self.name)
        return (value, source) if found is None else (found, ParameterSource.DEFAULT_MAP)


def _says(ctx: click.Context, target: str, key: str) -> bool:
    file = settings_file(ctx)
    return file is not None and getattr(file.target(target), key) is not None


def settings_file(ctx: click.Context | None) -> SettingsFile | None:
    """The file that counts: the one that is named, or the nearest one. Read once in a run.

    Raises:
        BadSettings
    """
    meta: dict[str, Any] = {} if ctx is None else ctx.meta
    if FILE not in meta:
        meta[FILE] = _read(meta.get(CONFIG))
    found: SettingsFile | None = meta[FILE]
    return found


def _read(named: str | None) -> SettingsFile | None:
    from pathlib import Path

    from storage_admin.settings.finding import find

    try:
        path = Path(named) if named is not None else find(Path.cwd())
    except FileNotFoundError:  # the folder that we are in was removed
        return None
    if path is None:
        return None
    from storage_admin.settings.reading import read

    return read(path)


def configured(ctx: click.Context | None, key: str) -> Any:
    """What the file says of a key, for the target that is meant; None where it says nothing. Raises as `read`."""
    file = settings_file(ctx)
    return None if file is None else file.value(key, target_meant(ctx), os.environ)


def named_target(ctx: click.Context) -> str | None:
    """The target that the command line names, or the one of all whose turn it is."""
    if EACH in ctx.meta:
        return str(ctx.meta[EACH])
    name, source = ctx.meta.get(TARGET, (None, None))
    return name if source is ParameterSource.COMMANDLINE else None


def url_given(ctx: click.Context) -> bool:
    """Whether --db-url is on the command line; an empty one is, too."""
    return ctx.get_parameter_source("db_url") is ParameterSource.COMMANDLINE


def target_meant(ctx: click.Context | None) -> str | None:
    """The target that is meant, None where the database is named in another way.

    Raises:
        UsageError: two are named.
    """
    if ctx is None:
        return None
    named = named_target(ctx)
    if named is not None and url_given(ctx):
        raise click.UsageError("Either --db-url or --target: each names a database.")
    if named is not None or url_given(ctx):
        return named
    by_variable = ctx.meta.get(TARGET, (None, None))[0]
    if by_variable is not None and os.environ.get(OWN_VARIABLE):
        raise click.UsageError(f"{OWN_VARIABLE} and {PREFIX}_TARGET both name a database; unset one.")
    if by_variable is not None:
        return str(by_variable)
    if any(map(os.environ.get, URL_VARIABLES)):
        return None
    file = settings_file(ctx)
    return None if file is None or file.settings.db_url is not None else file.settings.target


def database_url(given: str | None) -> str | None:
    """The URL that is meant: of --db-url, a target, the environment or the file, in this order; None where none is.

    Raises:
        NoTargets, NoSuchTarget, TargetNeeded, BadSettings
    """
    from storage_admin.errors.settings import NoTargets, TargetNeeded

    ctx = click.get_current_context(silent=True)
    target = target_meant(ctx)
    if given is not None:  # an empty one is a variable that was never set: no reason to take another database
        return given
    file = settings_file(ctx) if target is not None else None
    if target is not None and file is None:
        raise NoTargets(reason="no file of settings was found here")
    if target is None:
        for name in URL_VARIABLES:
            if os.environ.get(name):
                return os.environ[name]
        file = settings_file(ctx)
    if file is None:
        return None
    url: str | None = file.value("db_url", target, os.environ)
    if url is None and file.settings.targets:
        raise TargetNeeded(file=file.shown, known=", ".join(file.settings.targets))
    return url


def _keep_target(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:  # an empty one is a variable that was never set, and not any database
        ctx.meta[TARGET] = (value, ctx.get_parameter_source(param.name or ""))


def _keep_config(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[CONFIG] = value


db_url_option = click.option(
    "--db-url",
    metavar="URL",
    is_eager=True,
    allow_from_autoenv=False,
    help="postgresql://user:password@host/database, mysql://..., sqlite:///file.db; postgresql:// is what libpq finds.",
)
target_option = click.option(
    "--target",
    "settings_target",  # `sessions copy` has a target of its own
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_keep_target,
    shell_complete=completing.targets,
    **shared("TARGET"),
    help="A database of the file of settings, by its name there.",
)
config_option = click.option(
    "--config",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_keep_config,
    **shared("CONFIG"),
    help="The file of settings. Without it: pyproject.toml or storage-admin.toml here, or above in the repository.",
)
