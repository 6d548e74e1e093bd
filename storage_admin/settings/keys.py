"""What may stand in a file of settings. docs/configuration.md and the JSON Schema for editors are made from this."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args

import msgspec
from msgspec import Meta

# A title says what a value must be, in the words of an error.
Text = Annotated[str, Meta(title="a text")]
Milliseconds = Annotated[int, Meta(ge=1, title="a whole number of milliseconds, from 1")]
Seconds = Annotated[float, Meta(ge=0, title="a number of seconds, from 0")]
Jobs = Annotated[int, Meta(ge=1, le=64, title="a whole number from 1 to 64")]
Flag = Annotated[bool, Meta(title="true or false")]

URL_HELP = "Where the database is. `${NAME}` stands for a variable, so that no password need be written down."
SCHEMA_HELP = "Where to look for tables and to create them, as `--schema`."
ROLE_HELP = "The role to take on, the owner of the tables, as `--role` (PostgreSQL)."
LOCK_HELP = "How long one attempt may hold others up, in milliseconds, as `--lock-timeout`."
WAIT_HELP = "How long to go on trying while a table is in use, in seconds, as `--wait`."
JOBS_HELP = "How many tables to work on at a time, as `--jobs`."
COPY_HELP = "Let MySQL copy a table where it must, as `upgrade --allow-copy`."
TARGET_HELP = "The target to take where none is named. A `db-url` at the top counts before it."
TARGETS_HELP = "Databases by name, for `--target NAME` and `--all-targets`."


class Target(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """One database, and how to work on it."""

    db_url: Annotated[
        Text | None,
        Meta(description=URL_HELP, examples=["postgresql://ai:${STORAGE_ADMIN_PASSWORD}@localhost:5432/ai"]),
    ] = None
    schema: Annotated[Text | None, Meta(description=SCHEMA_HELP, examples=["ai"])] = None
    role: Annotated[Text | None, Meta(description=ROLE_HELP, examples=["owner"])] = None
    lock_timeout: Annotated[Milliseconds | None, Meta(description=LOCK_HELP, examples=[200])] = None
    wait: Annotated[Seconds | None, Meta(description=WAIT_HELP, examples=[60])] = None
    jobs: Annotated[Jobs | None, Meta(description=JOBS_HELP, examples=[1])] = None
    allow_copy: Annotated[Flag | None, Meta(description=COPY_HELP, examples=[False])] = None


class Settings(
    Target, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True
):  # a Struct inherits fields, and none of these
    """All of a file. What stands at its top counts for each target that does not say otherwise, but for db-url."""

    target: Annotated[Text | None, Meta(description=TARGET_HELP, examples=["staging"])] = None
    targets: Annotated[dict[str, Target], Meta(description=TARGETS_HELP)] = {}


class Key(NamedTuple):
    """A key as it is written, what its value must be, what it means, and a value for a start (its default, if any)."""

    name: str
    must_be: str
    help: str
    example: Any


def keys(kind: type[Target]) -> dict[str, Key]:
    """Every key of a part of the file, by its name."""
    found = {}
    for field in msgspec.structs.fields(kind):
        meta = field.type.__metadata__[0]
        example = meta.examples[0] if meta.examples else None
        found[field.encode_name] = Key(field.encode_name, _title(field.type), meta.description or "", example)
    return found


def _title(annotation: Any) -> str:
    titles = (meta.title for meta in getattr(annotation, "__metadata__", ()) if meta.title)
    return next(titles, "") or next(filter(None, map(_title, get_args(annotation))), "tables")
