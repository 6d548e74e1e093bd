"""What becomes of tables that are not upgraded, one by one, and of the upgrade as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.errors.base import StorageAdminError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TABLES_SHOWN, GRANTS_SHOWN = 3, 20


class TableError(StorageAdminError):
    """{table}: {problem}"""

    table: str


class SchemaDrifted(TableError):
    """{table} was not changed, since it differs from the definition in a way that only its owner can mend: {drifts}"""

    exit_code = 3


class SchemaAhead(TableError):
    """{table} was recorded at version {recorded} by a newer storage-admin. Upgrade yours; nothing was changed."""

    exit_code = 4


class SchemaOutdated(TableError):
    """{table} is outdated for {kind} sessions, and nothing was read or written; pending: {missing}. To upgrade it at
    start-up, build the storage with auto_upgrade_schema=True; to do it once, call storage.upgrade_schema(), or{where}
    run: storage-admin upgrade {argument}{option}
    """


class UpgradeByHand(SchemaOutdated):
    """{table} is outdated for {kind} sessions, and nothing was read or written; pending: {missing}. On {title}
    storage-admin changes no table that is there. Run this, and start again:{sql}
    """


class LockNotObtained(TableError):
    """{table}: {waited}; {done}. Run the command again when it is free, or wait longer with --wait."""

    exit_code = 5


class NoRights(TableError):
    """{table}{belongs} {was} not changed: the role {role} may not do that ({problem}). Let {owner} run
    this:{sql}{otherwise}
    """

    grants: Sequence[str]

    def __init__(self, *, grants: Sequence[str] = (), how: str = "", **facts: object) -> None:
        listed = "".join(f"\n  {grant};" for grant in grants[:GRANTS_SHOWN])
        more = f"\n  -- and {len(grants) - GRANTS_SHOWN} more like these" if len(grants) > GRANTS_SHOWN else ""
        told = {"was": "was", "otherwise": f"\n  {how}{listed}{more}" if how else ""}
        super().__init__(**told | facts | {"grants": grants, "how": how})

    @property
    def answer(self) -> tuple[object, ...]:
        """What is the same for all tables for which the same is lacking."""
        return tuple(self.facts[name] for name in ("role", "owner", "problem", "how"))

    @classmethod
    def together(cls, errors: Sequence[NoRights]) -> NoRights:
        """One error for tables for which the same is lacking."""
        if len(errors) == 1:
            return errors[0]
        names, facts = [error.table for error in errors], dict(errors[0].facts)
        del facts["otherwise"]
        more = f" and {len(names) - TABLES_SHOWN} more" if len(names) > TABLES_SHOWN else ""
        facts["table"] = ", ".join(names[:TABLES_SHOWN]) + more
        facts["belongs"] = str(facts["belongs"]).replace(" belongs", " belong", 1).replace(", a table", ", tables", 1)
        facts["sql"] = "\n  storage-admin upgrade, or what this prints: storage-admin plan --sql"
        grants = tuple(dict.fromkeys(grant for error in errors for grant in error.grants))
        return cls(**facts | {"was": "were", "grants": grants})  # type: ignore[arg-type]  # the facts that __init__ took


class InheritedTable(TableError):
    """{table} inherits its columns from {parent}, which is outdated too, so they are added there: storage-admin upgrade
    {parent} {table}
    """


class LargePartitioned(TableError):
    """{table} is a partitioned table of {size}, and an index on it cannot be built while others write, in one step. Its
    columns are there; build the indexes partition by partition, each with CREATE INDEX CONCURRENTLY, under CREATE INDEX
    ... ON ONLY the parent and ALTER INDEX ... ATTACH PARTITION, or run this when a pause is possible:{sql}
    """


class TableGone(TableError):
    """{table} was there a moment ago and is gone. It was not created anew; name it with its kind to do that."""


class StatementFailed(TableError):
    """{table}: the database refused {statement!r}: {problem}. {left}. {advice}"""

    state: str | None
    problem: str


class NeedsCopy(TableError):
    """{table}: {statement!r} cannot be run here while others use the table ({problem}). Choose a quiet hour and give
    --allow-copy, with which the server may copy the table and hold its writers up for as long as that takes.
    """


class UpgradeIncomplete(TableError):
    """{table}: the upgrade ran, but these changes are still pending: {pending}. It was rolled back. An event
    trigger, a rule or another client may undo them; please report this with the output of `storage-admin plan
    --sql`.
    """


class Interrupted(TableError):
    """{table} was interrupted; {left}."""

    exit_code = 130


class NotBegun(TableError):
    """{table} was not begun, since the upgrade was interrupted."""

    exit_code = 130


class UpgradeInterrupted(KeyboardInterrupt):
    """Interrupted: {done} of {total} tables {was} {what}. The same command does the rest.{left}"""

    exit_code = 130
    report: Any

    def __init__(self, report: Any, interrupt: BaseException | None = None, what: str = "upgraded") -> None:
        errors = [outcome.error for outcome in report.outcomes]
        cut = [error for error in errors if error is not None and not isinstance(error, NotBegun)]
        done = sum(outcome.changed and outcome.error is None for outcome in report.outcomes)
        total = sum(outcome.changed or outcome.error is not None for outcome in report.outcomes)
        facts = {"done": done, "total": total, "was": "was" if done == 1 else "were", "what": what}
        listed = "".join(f"\n  {error}" for error in cut)
        template = " ".join((type(self).__doc__ or "").split())
        super().__init__(template.format(**facts, left=listed))
        self.report, self.facts = report, facts
        self.exit_code = getattr(interrupt, "exit_code", self.exit_code)


class UpgradeFailed(StorageAdminError):
    """{summary}"""

    exit_code = 6
    failures: Sequence[StorageAdminError]
    report: Any

    def __init__(self, failures: Sequence[StorageAdminError], report: Any, done: str = "upgraded") -> None:
        codes = {failure.exit_code for failure in failures}
        listed = "".join(f"\n  {failure}" for failure in _together(failures))
        total = len(report.outcomes)
        summary = str(failures[0]) if total == 1 else f"{len(failures)} of {total} tables could not be {done}:{listed}"
        super().__init__(summary=summary, failures=failures, report=report)
        # One kind of failure keeps its own code; among several tables a plain error means "some failed".
        if len(codes) == 1 and (codes != {1} or len(report.outcomes) == 1):
            self.exit_code = codes.pop()


def _together(failures: Sequence[StorageAdminError]) -> Iterator[StorageAdminError]:
    """The failures; those of tables for which somebody lacks the same rights as one, where the first of them is."""
    groups: dict[object, list[StorageAdminError]] = {}
    for failure in failures:
        groups.setdefault(failure.answer if isinstance(failure, NoRights) else id(failure), []).append(failure)
    for group in groups.values():
        same = [failure for failure in group if isinstance(failure, NoRights)]
        yield NoRights.together(same) if same else group[0]
