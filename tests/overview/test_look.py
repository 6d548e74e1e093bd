"""What is known of a storage at one moment."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from storage_admin import Status, StorageAdmin
from storage_admin.doctor import Level
from storage_admin.overview import look, page
from storage_admin.overview.charts import last_days, last_months, nice, short
from storage_admin.render import render
from storage_admin.sessions import Growth, Sessions
from tests.conftest import Database
from tests.overview.pages import DAY, filled


def test_a_picture_says_what_the_commands_say(database: Database) -> None:
    now = int(time.time())
    old = filled(database, "old", 4, [0, 40, 400], now)
    filled(database, "new", 10, [1], now)
    admin = database.admin()
    overview = look(admin)
    plans = {str(plan.table): plan for plan in admin.plan().plans}
    assert [str(view.plan.table) for view in overview.tables] == list(plans)
    assert (overview.status, overview.by_status) == (Status.OUTDATED, {Status.OUTDATED: 1, Status.CURRENT: 1})
    [view] = [view for view in overview.tables if str(view.plan.table) == old]
    assert [text.split("\n")[0] for text in view.statements] == [
        text.split("\n")[0] for text in render(plans[old], database.admin().dialect)
    ]
    [counted] = Sessions(admin).statistics(tables=[old])
    assert view.statistics is not None
    assert (view.sessions, view.statistics.users, view.statistics.runs) == (3, counted.users, counted.runs) == (3, 1, 3)
    assert view.statistics.months == counted.months
    assert view.revision is not None
    assert view.revision.to_version == 4
    assert {index.columns for index in view.indexes if index.state == "missing"} == {
        build.index.columns for build in plans[old].builds
    }
    assert {finding.rule for finding in overview.findings} >= {"connection", "outdated-tables"}
    assert not overview.gaps


def test_ages_and_retentions_are_two_ways_to_say_the_same(sqlite: Database) -> None:
    now = int(time.time())
    filled(sqlite, "one", 10, [0, 10, 40, 100, 200, 400, 500], now)
    filled(sqlite, "two", 7, [40], now)
    overview = look(sqlite.admin(), retentions=(365, 30, 90, 180))
    assert [(age.days, age.below, age.sessions) for age in overview.ages] == [
        (0, 30, 2), (30, 90, 2), (90, 180, 1), (180, 365, 1), (365, None, 2),
    ]  # fmt: skip
    assert [(one.days, one.sessions) for one in overview.retentions] == [(30, 6), (90, 4), (180, 3), (365, 2)]
    assert sum(age.bytes for age in overview.ages) == sum(each.bytes for each in overview.counted)
    assert sum(day.sessions for day in overview.days) == sum(month.sessions for month in overview.months) == 8


def test_a_table_of_more_rows_is_not_read_and_that_is_said(postgres: Database) -> None:
    now = int(time.time())
    large, _ = filled(postgres, "large", 10, [1, 2, 3], now), filled(postgres, "small", 10, [1], now)
    postgres.run("ANALYZE")
    overview = look(postgres.admin(), count_up_to=2)
    assert [(gap.what, gap.why) for gap in overview.gaps] == [
        (f"the sessions in {large}", "it has more than 2 rows"),
    ]
    assert [view.statistics is None for view in overview.tables] == [True, False]
    assert "≈ 3" in page(overview)
    assert not look(postgres.admin(), count_up_to=0).counted


def test_a_named_table_that_is_not_there_is_missing_with_what_would_make_it(postgres: Database) -> None:
    overview = look(postgres.admin(), ["ai.absent=agent"])
    [view] = overview.tables
    assert (view.plan.status, view.sessions, view.unread) == (Status.MISSING, None, "it is not there yet")
    assert view.statements[0] == "CREATE SCHEMA IF NOT EXISTS ai"
    assert "CREATE TABLE ai.absent" in page(overview)


def test_a_table_that_the_role_may_not_read_is_a_gap_and_no_error(postgres: Database) -> None:
    now = int(time.time())
    filled(postgres, "closed", 10, [1], now)
    filled(postgres, "open", 10, [1], now)
    role = f"reader_{now}"
    postgres.run(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ai TO {role}; GRANT SELECT ON ai.open TO {role}")
    url = sa.make_url(postgres.url).set(username=role, password="canary-secret")  # nobody asks for it
    overview = look(StorageAdmin(url))
    assert [view.statistics is None for view in overview.tables] == [True, False]
    gaps = {gap.what: gap.why for gap in overview.gaps}
    assert gaps["the sessions in ai.closed"] == "permission denied for table closed"
    assert "storage_admin_revisions" in gaps["the log of upgrades"]
    assert "canary" not in page(overview)
    postgres.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_what_doctor_says_of_a_table_is_beside_it_unless_its_status_says_so_already(postgres: Database) -> None:
    table = filled(postgres, "doubled", 4, [1], int(time.time()))
    postgres.run(f"CREATE INDEX again ON {table} (user_id); CREATE INDEX once_more ON {table} (user_id)")
    [view] = look(postgres.admin()).tables
    assert {finding.rule for finding in view.findings} == {"duplicate-indexes"}
    assert view.level is Level.NOTE


def test_periods_without_a_session_are_there_and_begin_where_there_is_something() -> None:
    now = 1_770_000_000  # 2026-02-02
    months = last_months((Growth("2025-12", 3, 30), Growth("unknown", 1, 1)), now)
    assert [(one.period, one.sessions) for one in months] == [
        ("2025-09", 0), ("2025-10", 0), ("2025-11", 0), ("2025-12", 3), ("2026-01", 0), ("2026-02", 0),
    ]  # fmt: skip
    older = last_months((Growth("2019-01", 1, 1),), now)
    assert (len(older), older[0].period, sum(one.sessions for one in older)) == (24, "2024-03", 0)
    days = last_days((Growth("2026-01-31", 2, 20),), now + DAY, 3)
    assert [(one.period, one.sessions) for one in days] == [("2026-02-01", 0), ("2026-02-02", 0), ("2026-02-03", 0)]


@pytest.mark.parametrize(("number", "top", "text"), [(0, 1, "1"), (7, 10, "10"), (12, 20, "20"), (2001, 5000, "5k")])
def test_the_scale_of_a_chart_ends_at_a_round_number(number: int, top: int, text: str) -> None:
    assert (nice(number), short(nice(number))) == (top, text)
