"""What may stand in a file of settings. docs/configuration.md and the JSON Schema for editors are made from this."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# A title says what a value must be, in the words of an error.
Text = Annotated[str, Meta(title="a text")]


class Target(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """One database, and how to work on it."""

    db_url: Annotated[
        Text | None,
        Meta(
            description="Where the database is; `${NAME}` stands for a variable, so that no password is written down."
        ),
    ] = None
    schema: Annotated[Text | None, Meta(description="Where to look for tables and to create them, as `--schema`.")] = (
        None
    )
    role: Annotated[Text | None, Meta(description="The role to take on (PostgreSQL), as `--role`.")] = None
    lock_timeout: Annotated[
        Annotated[int, Meta(ge=1, title="a whole number of milliseconds, from 1")] | None,
        Meta(description="How long one attempt may hold others up, in milliseconds, as `--lock-timeout`."),
    ] = None
    wait: Annotated[
        Annotated[float, Meta(ge=0, title="a number of seconds, from 0")] | None,
        Meta(description="How long to go on trying while a table is in use, in seconds, as `--wait`."),
    ] = None
    jobs: Annotated[
        Annotated[int, Meta(ge=1, le=64, title="a whole number from 1 to 64")] | None,
        Meta(description="How many tables to work on at a time, as `--jobs`."),
    ] = None
    allow_copy: Annotated[
        Annotated[bool, Meta(title="true or false")] | None,
        Meta(description="Let MySQL copy a table where it must, as `upgrade --allow-copy`."),
    ] = None


class Settings(
    Target, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True
):  # each Struct is told anew
    """All of a file. What stands at its top counts for each target that does not say otherwise, but for db-url."""

    target: Annotated[
        Text | None, Meta(description="The target to take where none is named, in a file without a db-url at its top.")
    ] = None
    targets: Annotated[
        dict[str, Target], Meta(description="Databases by name, for `--target NAME` and `--all-targets`.")
    ] = {}
