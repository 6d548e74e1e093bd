"""What a shell offers when a person presses the tab key: names from the database, where it answers at once."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

TIMEOUT = "STORAGE_ADMIN_COMPLETION_TIMEOUT"
SECONDS = "1"  # that a person waits for a key, without that
PLAIN = re.compile(r"[\w.][\w.-]*")  # what no shell reads in another way


def tables(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of session tables, and kinds after an equals sign. Nothing where anything goes wrong."""
    before = ctx.params.get(param.name or "")
    # bash takes the equals sign for a word of its own, which click passes by while it is the last one.
    if os.environ.get("COMP_WORDS", "").endswith("\n=") or (isinstance(before, tuple) and before[-1:] == ("=",)):
        return _kinds(incomplete)
    name, separator, kinds = incomplete.partition("=")
    if separator:
        return [f"{name}={kind}" for kind in _kinds(kinds)]
    names = [name for name in _names(ctx) if PLAIN.fullmatch(name)]
    found = [name for name in names if name.startswith(incomplete)]
    return found or [name for name in names if name.rpartition(".")[2].startswith(incomplete)]


def kinds(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Kinds of sessions."""
    return _kinds(incomplete)


def targets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Targets of the file of settings."""
    from storage_admin.cli.settings import settings_file

    try:
        file = settings_file(ctx)
    except Exception:  # noqa: BLE001 - an error would be in the middle of what is being typed
        return []
    known = [] if file is None else file.settings.targets
    return [name for name in known if name.startswith(incomplete) and PLAIN.fullmatch(name)]


def states(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """States of a check, one after the other, or none."""
    from storage_admin.cli.settings import STATES

    return _listed(STATES if "," in incomplete else (*STATES, "none"), incomplete)


def dialects(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Databases by name."""
    from storage_admin.dialects import DIALECTS

    return [name for name in (*DIALECTS, "mysql-5.7") if name.startswith(incomplete)]


def _kinds(incomplete: str) -> list[str]:
    from storage_admin.cli.options import catalog

    return _listed(catalog().kinds, incomplete)


def _listed(known: Sequence[str], incomplete: str) -> list[str]:
    """What may come next in a list with commas."""
    done, comma, begun = incomplete.rpartition(",")
    named = done.split(",")
    return [f"{done}{comma}{word}" for word in known if word.startswith(begun) and word not in named]


def _names(ctx: click.Context) -> Sequence[str]:
    from contextlib import suppress
    from threading import Thread

    found: list[str] = []
    looking = Thread(target=_look, args=(ctx, found), daemon=True)
    looking.start()
    with suppress(ValueError):
        looking.join(float(os.environ.get(TIMEOUT) or SECONDS))
    return found


def _look(ctx: click.Context, found: list[str]) -> None:
    from storage_admin.cli.options import open_admin
    from storage_admin.cli.settings import configured, url_given
    from storage_admin.cli.talk import voice

    voice.verbose = 0
    try:
        with ctx:  # a thread has no context of its own
            url = ctx.params["db_url"] if url_given(ctx) else None
            schema = ctx.params.get("schema") or configured(ctx, "schema")
            found += [str(plan.table) for plan in open_admin(url, schema).check().plans]
    except Exception:  # noqa: BLE001, S110 - a word about it would be in the middle of what is being typed
        pass
