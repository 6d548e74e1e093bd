"""What `check` found, table by table, in the words of every CI format; and which of it makes the check fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from storage_admin.changes import Plan, Status
from storage_admin.cli.output import pending_text, version_text
from storage_admin.naming import argument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from storage_admin.catalog import Catalog
    from storage_admin.cli.ci.places import Place
    from storage_admin.reports import Survey


class Rule(msgspec.Struct, frozen=True):
    """What a table may be found to be. Its id never changes: programs, links and dismissed alerts go by it.

    ``state`` is the word of ``--fail-on``.
    """

    id: str
    state: str
    title: str
    help: str


# docs/ci.md has a section for each.
RULES = {
    Status.OUTDATED: Rule(
        "pending",
        "pending",
        "Changes of a session table are pending",
        "The table lacks something that the newest version has, so that reads and writes of the application may fail, "
        "or lose what was stored. `storage-admin plan` shows the statements and `storage-admin upgrade` runs them: "
        "columns and indexes are added, nothing is taken away.",
    ),
    Status.MISSING: Rule(
        "missing",
        "pending",
        "A session table is missing",
        "The table was named with its kind and is not there. `storage-admin upgrade TABLE=KIND` creates it.",
    ),
    Status.DRIFTED: Rule(
        "drift",
        "drift",
        "A session table differs in a way that only its owner can mend",
        "A column has another type, refuses NULL or is generated, or the primary key is another one. storage-admin "
        "leaves such a table alone. The upgrade guide has a way for each kind of drift.",
    ),
    Status.AHEAD: Rule(
        "ahead",
        "ahead",
        "A session table was upgraded by a newer release",
        "A newer storage-admin recorded a version that this one does not know. Install that release, or a newer one.",
    ),
}
CODES = {"pending": 2, "drift": 3, "ahead": 4}


class Result(msgspec.Struct, frozen=True):
    """One table that is not current. ``fails``: its state is one of those that make the check fail."""

    rule: Rule
    table: str
    fails: bool
    message: str
    statements: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def text(self) -> str:
        """The message, and under it the statements."""
        return "\n".join([self.message, *(f"{statement};" for statement in self.statements)])


def results(
    survey: Survey, catalog: Catalog, failing: Collection[str], place: Callable[[Plan], Place | None]
) -> Iterator[Result]:
    """A result for each table of a survey that is not current."""
    for plan in survey.plans:
        if plan.status is Status.CURRENT:
            continue
        rule = RULES[plan.status]
        statements = _statements(plan, survey) if plan.runnable else ()
        fails = rule.state in failing
        yield Result(rule, str(plan.table), fails, _message(plan, catalog), statements, place(plan))


def _statements(plan: Plan, survey: Survey) -> tuple[str, ...]:
    from storage_admin.render import render

    return render(plan, survey.database.record)


def exit_code(survey: Survey, failing: Collection[str]) -> int:
    """The code of the gravest state that makes the check fail, 0 if there is none."""
    found = {RULES[plan.status].state for plan in survey.plans if plan.status is not Status.CURRENT}
    return max((CODES[state] for state in found & {*failing}), default=0)


def _message(plan: Plan, catalog: Catalog) -> str:
    subject = f"{plan.table} ({', '.join(plan.kinds)})"
    if plan.status is Status.DRIFTED:
        return f"{subject} is left alone until its owner mends it: {'; '.join(map(str, plan.drifts))}"
    if plan.status is Status.AHEAD:
        return f"{subject} was {pending_text(plan)}; install that release, or a newer one"
    steps = f"version {version_text(plan, catalog)} -> {plan.target_version}"
    named = argument(plan.table, *(plan.kinds if plan.status is Status.MISSING else ()))
    return f"{subject}, {steps}: {pending_text(plan)}. To do it: storage-admin upgrade {named}"
