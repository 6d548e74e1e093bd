"""Which sessions are meant: a filter is a value, and becomes a condition on a table."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.errors import UnknownKind, UsageError
from storage_admin.sessions.tables import SESSION_ID, USER_ID, one_of, same_text
from storage_admin.storage.sessions import ENTITY
from storage_admin.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.sessions.tables import SessionTable

SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}  # no m, which is a minute to some and a month to others
AGO = re.compile(r"(\d+)([hdw])")
EPOCH = re.compile(r"\d{9,11}")
TIME_HELP = "Write a date (2026-01-31), a time in UTC (2026-01-31T18:00), an age (90d, 12h, 26w), or seconds since 1970"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that fulfil all that is given. Times are seconds since 1970, in UTC.

    ``before`` and ``after`` speak of the last activity: when a session was updated, or created if it never was.
    ``after`` is inclusive, ``before`` is not. ``contains`` is a text within the JSON of a session, upper or lower case.

    Raises:
        UnknownKind: there is no such kind.
    """

    ids: tuple[str, ...] = ()
    user: str | None = None
    entity: str | None = None
    kind: str | None = None
    before: int | None = None
    after: int | None = None
    created_before: int | None = None
    created_after: int | None = None
    contains: str | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in ENTITY:
            raise UnknownKind(kind=self.kind, known=", ".join(ENTITY), suggestion=did_you_mean(self.kind, ENTITY))

    @property
    def empty(self) -> bool:
        """Whether every session is meant."""
        return self == Filter()

    @property
    def given(self) -> dict[str, Any]:
        """What is given, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value not in (None, ())}

    def fits(self, table: SessionTable) -> bool:
        """Whether a table can hold such sessions at all."""
        return self.kind is None or self.kind in table.kinds

    def condition(self, table: SessionTable) -> sa.ColumnElement[bool]:
        """What is true of the rows that are meant."""
        return sa.and_(sa.true(), *self._conditions(table))

    def is_indexed(self, table: SessionTable) -> bool:
        """Whether the rows that are meant are few and found by an index."""
        entities = [column.name for column in table.entities.values()]
        return (
            bool(self.ids)
            or (self.user is not None and table.is_indexed(USER_ID))
            or (self.entity is not None and len(entities) == 1 and table.is_indexed(*entities))
        )

    def _conditions(self, table: SessionTable) -> Iterable[sa.ColumnElement[bool]]:
        columns, dialect = table.sql.c, table.dialect
        if self.ids:
            yield one_of(columns[SESSION_ID], self.ids, dialect)
        if self.user is not None:
            yield same_text(columns[USER_ID], self.user, dialect)
        if self.entity is not None:
            yield sa.or_(sa.false(), *(same_text(c, self.entity, dialect) for c in table.entities.values()))
        if self.kind is not None and len(table.kinds) > 1:
            yield table.kind == self.kind
        for moment, column, later in (
            (self.after, active(table), True),
            (self.before, active(table), False),
            (self.created_after, columns.created_at, True),
            (self.created_before, columns.created_at, False),
        ):
            if moment is not None:
                yield column >= whole(moment) if later else column < whole(moment)
        if self.contains is not None:
            yield _holds(table, self.contains)


def active(table: SessionTable) -> sa.ColumnElement[Any]:
    """When a session was used last: updated, or created if it never was; 0 where nobody noted it."""
    return whole_number(sa.func.coalesce(table.sql.c.updated_at, table.sql.c.created_at, 0), table)


def whole_number(value: sa.ColumnElement[Any], table: SessionTable) -> sa.ColumnElement[Any]:
    """A value as a whole number: a column of SQLite may hold a text where a time should be."""
    return sa.cast(value, sa.BigInteger) if table.dialect.name == "sqlite" else value


def whole(number: int) -> sa.ColumnElement[int]:
    """A number of 64 bits for a statement, whatever it is: a driver may have sent it as one of 32."""
    return sa.literal(number, sa.BigInteger)


def _holds(table: SessionTable, text: str) -> sa.ColumnElement[bool]:
    # A database that keeps JSON as text keeps it as it was sent: with escapes, or without.
    forms = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    columns = [sa.cast(table.sql.c[name], sa.Text) for name in table.json_columns]
    found = (column.icontains(form, autoescape=True) for column in columns for form in sorted(forms))
    return sa.or_(sa.false(), *found)


def parse_time(text: str, *, now: float | None = None) -> int:
    """A moment, in seconds since 1970: an age counts back from now, a date or time without a zone is in UTC.

    Raises:
        UsageError
    """
    text = text.strip()
    moment = datetime.now(timezone.utc).timestamp() if now is None else now
    if AGO.fullmatch(text):
        return max(0, int(moment) - parse_age(text))
    if EPOCH.fullmatch(text):
        return int(text)
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(problem=f"{text!r} is no time. {TIME_HELP}.") from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp())


def parse_age(text: str) -> int:
    """An age, in seconds: a number and one of h, d, w.

    Raises:
        UsageError
    """
    match = AGO.fullmatch(text.strip())
    if match is None:
        raise UsageError(problem=f"{text!r} is no age. Write a number and h, d or w: 12h, 90d, 26w.")
    return int(match[1]) * SECONDS[match[2]]
