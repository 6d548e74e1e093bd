"""storage-admin demo."""

import click


@click.command("demo")
def command() -> None:
    """X"""
