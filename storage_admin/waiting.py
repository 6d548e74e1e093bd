"""Waiting until tables are current, while somebody else brings them there: for an init container or a Helm hook.

Nothing is held between two looks, neither a connection nor a lock, and a look waits for nobody.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from storage_admin.changes import Status
from storage_admin.errors import CannotConnect, NoSuchFile, NoSuchTable, NoTablesFound, NotCurrent, QueryFailed
from storage_admin.naming import argument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage_admin.changes import Plan
    from storage_admin.errors import StorageAdminError
    from storage_admin.reports import Survey

# What passes by itself: the server, the database, the schema or the table is not there yet.
NOT_HERE = (CannotConnect, QueryFailed, NoSuchFile)
NOT_MADE = (NoTablesFound, NoSuchTable)
EXIT_CODES = {Status.OUTDATED: 2, Status.DRIFTED: 3, Status.AHEAD: 4}
SHOWN = 3
UPGRADE = "To upgrade {}: storage-admin upgrade"
MENDED = {
    Status.DRIFTED: (
        "Only the owner of a table can mend its drift: docs/upgrade-guide.md has a way for each kind; then "
        "storage-admin plan says what is left."
    ),
    Status.AHEAD: "Use a newer storage-admin: the one that upgraded it, or a later one.",
}


def wait_until_current(
    look: Callable[[], Survey],
    *,
    database: str,
    timeout: float,
    interval: float,
    fail_fast: bool = False,
    told: Callable[[str], None] | None = None,
) -> Survey:
    """Look again and again, with a pause of about ``interval`` seconds, until every table is current.

    ``told`` gets what is waited for, when that changes. With ``fail_fast`` a table that is drifted or ahead, which no
    upgrade mends, ends the waiting at once.

    Raises:
        NotCurrent: ``timeout`` seconds are over; its exit code says in which state the tables are.
        StorageAdminError: the database could not be reached to the end: what the last look raised. At once, what no
            waiting mends: a name that is ambiguous, or of a view.
    """
    deadline, said = time.monotonic() + timeout, ""
    while True:
        state, failure = _look(look)
        if isinstance(state, str):
            waited, code, hopeless, advice = (
                state,
                2,
                False,
                "" if "storage-admin upgrade" in state else UPGRADE.format("it"),
            )
        elif state.status is Status.CURRENT:
            return state
        else:
            waited, code, advice = _pending(state.plans), EXIT_CODES[state.status], _advice(state.plans)
            hopeless = state.status is not Status.OUTDATED
        if told is not None and waited != said:
            told(waited)
            said = waited
        left = deadline - time.monotonic()
        if left <= 0 or (hopeless and fail_fast):
            if isinstance(failure, NOT_HERE):
                raise failure
            raise _not_current(database, waited, advice, timeout, code, at_once=left > 0)
        time.sleep(min(left, interval * random.uniform(0.7, 1.3)))  # noqa: S311 - jitter, not a secret


def _look(look: Callable[[], Survey]) -> tuple[Survey | str, StorageAdminError | None]:
    try:
        return look(), None
    except (*NOT_HERE, *NOT_MADE) as error:
        return str(error), error


def _pending(plans: Iterable[Plan]) -> str:
    behind = [plan for plan in plans if plan.status is not Status.CURRENT]
    others = f"; and {len(behind) - SHOWN:,} more" if len(behind) > SHOWN else ""
    return "; ".join(f"{plan.table} is {plan.status.value}{_why(plan)}" for plan in behind[:SHOWN]) + others


def _why(plan: Plan) -> str:
    if plan.status is Status.DRIFTED:
        return f" ({'; '.join(map(str, plan.drifts))})"
    if plan.status is Status.AHEAD:
        return f" (recorded at version {plan.recorded})"
    if plan.status is Status.MISSING:
        return ""
    if plan.version is None:
        return f" (of no known version; the newest is {plan.target_version})"
    return f" ({plan.version} of {plan.target_version})"


def _advice(plans: Iterable[Plan]) -> str:
    """Who can do what about it: an upgrade mends neither drift nor a table that is ahead."""
    found = {status: [plan for plan in plans if plan.status is status] for status in Status}
    told = [text for status, text in MENDED.items() if found[status]]
    if missing := found[Status.MISSING]:
        named = " ".join(argument(plan.table, *plan.kinds) for plan in missing[:SHOWN])
        told.append(f"To create {'it' if len(missing) == 1 else 'them'}: storage-admin upgrade {named}")
    elif found[Status.OUTDATED]:
        told.append(UPGRADE.format("the others" if told else "it"))
    return " ".join(told)


def _not_current(database: str, waited: str, advice: str, timeout: float, code: int, *, at_once: bool) -> NotCurrent:
    when = "and no waiting will change that" if at_once else f"after {timeout:g} s of waiting"
    error = NotCurrent(database=database, waited=waited.rstrip("."), when=when, advice=advice)
    error.exit_code = code
    return error
