"""--all-targets: a command on each database of the file of settings, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from storage_admin.cli.settings import EACH, FORMS, named_target, settings_file, shared, url_given
from storage_admin.cli.talk import voice

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.cli.documents import Document

ARGUMENTS, ALL = "storage_admin.arguments", "storage_admin.all"
# From fine to grave, as exit codes: an error says less than drift does, since nothing is known then.
SEVERITY = (0, 2, 3, 4, 5, 6, 1, 64, 130, 143)


class OverTargets(click.Command):
    """A command that can be run on all targets."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        option = click.Option(
            ["--all-targets"],
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="On each target of the file of settings, in turn; the exit code is the gravest.",
            **shared("ALL_TARGETS"),
        )
        names = [param.name for param in self.params]
        self.params.insert(names.index("settings_target") + 1, option)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, to read them again for each target."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, once or on each target."""
        if not ctx.meta.get(ALL) or EACH in ctx.meta:
            return super().invoke(ctx)
        return over_targets(ctx, lambda again: super(OverTargets, self).invoke(again))


def over_targets(ctx: click.Context, invoke: Callable[[click.Context], Any]) -> int:
    """Run a command on each target; return the gravest exit code.

    Raises:
        NoTargets, BadSettings. What fails on a target is said, and the next one has its turn.
    """
    from storage_admin.cli.output import collecting, emit
    from storage_admin.errors import StorageAdminError

    arguments, output = list(ctx.meta[ARGUMENTS]), ctx.params["output"]
    documents: dict[str, list[Document]] = {}
    codes: dict[str, int] = {}
    errors: dict[str, str] = {}
    for name in _names(ctx):
        ctx.meta[EACH] = name
        with voice.kept(), collecting() as documents[name]:
            voice.target = name
            if output == "table":
                click.secho(name, bold=True)
            try:
                with ctx.command.make_context(ctx.info_name, list(arguments), parent=ctx.parent) as again:
                    codes[name] = invoke(again) or 0
            except (click.ClickException, click.Abort):
                raise
            except KeyboardInterrupt as interrupt:
                codes[name] = voice.interrupted(interrupt)
                errors[name] = voice.redacted(str(interrupt)) or "interrupted"
                break
            except StorageAdminError as error:
                codes[name], errors[name] = voice.failed(error), voice.redacted(str(error))
            except Exception as error:  # noqa: BLE001 - one target must not stand in the way of the others
                codes[name] = voice.failed(error, unexpected=True)
                errors[name] = voice.redacted(f"unexpected {type(error).__name__}: {error}")
    del ctx.meta[EACH]
    gravest = max(codes.values(), key=SEVERITY.index)
    if output != "table":
        from storage_admin.cli.target_documents import targets_document

        results = {name: found[-1] for name, found in documents.items() if found}
        emit(targets_document(codes, errors, results, gravest), output)
    return gravest


def _names(ctx: click.Context) -> list[str]:
    from storage_admin.errors.settings import NoTargets

    if url_given(ctx) or named_target(ctx) is not None:
        raise click.UsageError("--all-targets takes the place of --db-url and --target.")
    if ctx.params.get("against") == "offline":
        raise click.UsageError("--against offline looks at no database; leave out --all-targets.")
    if ctx.params.get("sql"):
        raise click.UsageError("--sql prints the script of one database; name it with --target.")
    if ctx.params["output"] not in FORMS:
        raise click.UsageError(f"-o {ctx.params['output']} shows one database; name it with --target.")
    file = settings_file(ctx)
    if file is None or not file.settings.targets:
        raise NoTargets(reason="no file of settings was found here" if file is None else f"{file.shown} has none")
    return list(file.settings.targets)


def _keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[ALL] = value
