"""storage-admin completion."""

from __future__ import annotations

import click

from storage_admin.cli.talk import talk_options

SHELLS = ("bash", "zsh", "fish")
WHERE = """\b
Where it goes:
  bash  eval "$(storage-admin completion bash)" in ~/.bashrc
  zsh   eval "$(storage-admin completion zsh)" in ~/.zshrc, after compinit
  fish  storage-admin completion fish > ~/.config/fish/completions/storage-admin.fish
"""


@click.command("completion", epilog=WHERE)
@click.argument("shell", type=click.Choice(SHELLS), metavar="|".join(SHELLS))
@talk_options
def command(shell: str) -> None:
    """Print the script that lets a shell complete what is typed.

    Commands, options, and the names of tables, kinds and targets. Tables are those of the database that the environment
    or the file of settings names, if it answers in a second.
    """
    from click.shell_completion import get_completion_class

    from storage_admin.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click {click.__version__} has no completion for {shell}.")
    click.echo(found(cli, {}, "storage-admin", "_STORAGE_ADMIN_COMPLETE").source())
