"""What goes wrong where a plan becomes a migration of another tool, or a table is made old."""

from __future__ import annotations

from storage_admin.errors.base import StorageAdminError, UsageError


class NoEnvironment(UsageError):
    """{path} is no Alembic environment: it holds neither an alembic.ini, nor a pyproject.toml with [tool.alembic], nor
    an env.py. Name the folder in which you run alembic; to begin one: alembic init migrations
    """


class BadEnvironment(StorageAdminError):
    """Alembic cannot use {path}: {problem}. Nothing was written. In that folder `alembic heads` says the same."""


class SeveralHeads(UsageError):
    """{path} has several heads: {heads}. Name the one that the new revision goes on with --head, or merge them first:
    alembic merge heads
    """


class NoSuchHead(UsageError):
    """{head!r} is no head of {path}; there {heads}."""


class StatementsLeftOut(StorageAdminError):
    """The template {template} leaves the statements out of a revision, so none was written. It needs
    ${{upgrades if upgrades else "pass"}} in upgrade(); an environment for several databases has none of that.
    """


class WrittenAlready(UsageError):
    """{path} holds some of these statements already. Let that one run, or remove it first; nothing was written."""


class RanAlready(WrittenAlready):
    """{path} holds some of these statements already, and has run in {database}, so that what it made was taken away
    since. Nothing was written. --again writes a revision that makes it once more, and fails where it is still there.
    """


class UnwritableName(UsageError):
    """The name {name!r} cannot go into a file for {tool}, which would read {part!r} in it as its own. `storage-admin
    plan --sql` prints the statements.
    """


class NoFolder(UsageError):
    """There is no folder {path} to write into. Check the path, or make it: mkdir -p {path}"""


# --- tables as old releases left them ----------------------------------------------------------------------


class UnknownRelease(UsageError):
    """{release!r} is no release that kept sessions in a table of their own: {problem}. Name one of phidata 2.5 to 2.7
    ("phidata 2.5.21") or of agno 0 and 1 ("1.1.10"), or a version of the catalogue (4).{suggestion}
    """


class NotReleasedYet(UsageError):
    """{release} made no tables for {what}; the first release that did is {first}."""


class NoPlaceForTables(UsageError):
    """Tables cannot be made on {on!r}: {problem}. Say on="sqlite", which is the default, on="memory",
    on="postgresql", on="configured" or the URL of a database: docs/testing.md
    """


class TableInTheWay(UsageError):
    """There is a table {table} in {database} already, and it is not replaced. Choose another name with table=..., or
    another place: on="sqlite".
    """
