"""The parts of the page that speak of all tables together."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

from storage_admin.changes import Status
from storage_admin.doctor import SHOWN, Level, alike
from storage_admin.overview.charts import DAYS, MONTHS, Chart, chart, last_days, last_months, legend
from storage_admin.overview.markup import bar, breakable, coded, command, group, moment, percent, table, tag
from storage_admin.texts import count_text, size_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from storage_admin.doctor import Finding
    from storage_admin.overview.values import Age, Overview, TableView
    from storage_admin.sessions import Growth, Retention

LARGEST = 10
MONTH_DAYS = 30


def section(id_: str, title: str, *content: object, **attributes: object) -> Markup:
    """A part of the page that the navigation leads to."""
    return tag("section", tag("h2", title, id=f"{id_}-h"), *content, id=id_, aria_labelledby=f"{id_}-h", **attributes)


def badge(word: str) -> Markup:
    """A status or a level, in its colour."""
    return tag("span", word, class_=f"badge {word}")


# --- the first look ----------------------------------------------------------------------------------------


def verdict(overview: Overview) -> tuple[str, str, str]:
    """The gravest thing in a sentence, what to run about it (perhaps nothing), and the class of its colour."""
    counts, total = overview.by_status, count_text(len(overview.tables), "table")
    problems = sum(finding.level is Level.PROBLEM for finding in overview.findings)
    if number := counts.get(Status.AHEAD, 0):
        return f"{number:,} of {total}: upgraded by a newer storage-admin. Upgrade this one.", "", "ahead"
    if number := counts.get(Status.DRIFTED, 0):
        return f"{number:,} of {total}: drifted, which only the owner can mend.", "storage-admin check", "drifted"
    if number := counts.get(Status.OUTDATED, 0) + counts.get(Status.MISSING, 0):
        return f"{number:,} of {total} to be upgraded.", "storage-admin upgrade", "outdated"
    if problems:
        return f"All tables are current; {count_text(problems, 'problem')} found.", "storage-admin doctor", "problem"
    return "All tables are current." if len(overview.tables) > 1 else "The table is current.", "", "current"


def summary(overview: Overview) -> Markup:
    """What there is, in a line and a row of numbers."""
    sentence, run, class_ = verdict(overview)
    run_it = group(" Run ", command(run)) if run else None
    return section(
        "summary",
        "At a glance",
        tag("p", tag("strong", sentence), run_it, class_=f"verdict {class_}"),
        tag(
            "dl",
            *(
                tag("div", tag("dt", name), tag("dd", value, hint and tag("small", hint)))
                for name, value, hint in _tiles(overview)
            ),
            class_="tiles",
        ),
        tag("div", legend([(status.value, number) for status, number in overview.by_status.items()]), class_="legend"),
        tag(
            "ul",
            *(
                tag("li", badge(status.value), f" {count_text(number, 'table')}")
                for status, number in overview.by_status.items()
            ),
            class_="keys",
        ),
        _gaps(overview),
    )


def _tiles(overview: Overview) -> Iterable[tuple[str, object, str | None]]:
    counted = overview.counted
    unread = any(view.statistics is None and view.plan.live is not None for view in overview.tables)
    kinds = sorted({kind for view in overview.tables for kind in view.plan.kinds})
    yield "Tables", f"{len(overview.tables):,}", ", ".join(kinds)
    yield "Sessions", f"{overview.sessions:,}", "some of it an estimate" if unread else None
    if counted:
        several = "counted in each table" if len(overview.tables) > 1 else None
        yield "Users", f"{sum(each.users for each in counted):,}", several
        yield "Runs", f"{sum(each.runs for each in counted):,}", None
    yield "Size", size_text(overview.bytes), "with indexes" if overview.bytes is not None else "not known here"
    if counted:
        new = sum(growth.sessions for growth in last_days(overview.days, overview.made, MONTH_DAYS))
        yield "New", f"{new:,}", f"in the last {MONTH_DAYS} days"
        newest = max((each.newest for each in counted if isinstance(each.newest, int)), default=None)
        yield "Last used", moment(time_text(newest).partition(" ")[0]), _ago(newest, overview.made)


def _ago(used: int | None, now: int) -> str | None:
    if used is None or used > now:
        return None
    days = (_day(now) - _day(used)).days  # as the date above it is one of UTC
    return f"{count_text(days, 'day')} before this report" if days else "on the day of this report"


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, timezone.utc).date()


def _gaps(overview: Overview) -> Markup | None:
    if not overview.gaps:
        return None
    listed = (tag("li", tag("strong", gap.what), f": {gap.why}") for gap in overview.gaps)
    return tag("div", tag("h3", "Not measured"), tag("ul", *listed), class_="gaps")


# --- findings ----------------------------------------------------------------------------------------------


def findings(overview: Overview) -> Markup:
    """What `doctor` found, the gravest first, and what inspect noted."""
    grave = [f for f in overview.findings if f.level is not Level.OK]
    fine = [f for f in overview.findings if f.level is Level.OK]
    notes = (tag("li", badge("note"), tag("div", tag("p", coded(note)))) for note in overview.notes)
    items = [item for found in alike(grave) for item in _of_one_rule(found)]
    everything = [*items, *notes]
    return section(
        "findings",
        "Findings",
        tag("ul", *everything, class_="findings") if everything else tag("p", "Nothing is wrong.", class_="muted"),
        tag(
            "details",
            tag("summary", f"{count_text(len(fine), 'check')} found nothing wrong"),
            tag("ul", *(tag("li", tag("code", f.rule), f" {f.seen}") for f in fine), class_="fine"),
        )
        if fine
        else None,
    )


def _of_one_rule(found: Sequence[Finding]) -> Iterable[Markup]:
    for one in found[:SHOWN]:
        yield finding(one)
    if len(found) > SHOWN:
        where = "what is of a table is beside it, and `storage-admin doctor -o json` has all"
        more = coded(f"{len(found) - SHOWN:,} more of `{found[0].rule}`; {where}.")
        yield tag("li", badge(found[0].level.value), tag("div", tag("p", more)))


def finding(one: Finding) -> Markup:
    """A finding, as an item of a list."""
    advice = tag("p", "→ ", coded(one.advice), class_="advice") if one.advice else None
    return tag("li", badge(one.level.value), tag("div", tag("p", tag("code", one.rule), " ", one.seen), advice))


# --- charts ------------------------------------------------------------------------------------------------


def growth(overview: Overview) -> Markup | None:
    """What was created when, and how large it is."""
    if not overview.counted:
        return None
    months, days = last_months(overview.months, overview.made), last_days(overview.days, overview.made)
    sessions = tuple((one.period, one.sessions) for one in months)
    sizes = tuple((one.period, one.bytes) for one in months)
    daily = tuple((one.period, one.sessions) for one in days)
    hint = f"By the day in which a session was created, in UTC; the last {MONTHS} months and {DAYS} days."
    charts = (
        Chart("sessions-month", "Sessions created per month", _most(months), "Month", sessions, _sessions_text),
        Chart("bytes-month", "Bytes of sessions created per month", _largest(months), "Month", sizes, size_text),
        Chart("sessions-day", "Sessions created per day", _most(days), "Day", daily, _sessions_text),
    )
    return section(
        "growth",
        "Growth",
        tag("p", hint, _outside(overview, months), class_="muted"),
        tag("div", *map(chart, charts), class_="cards"),
    )


def _sessions_text(number: int) -> str:
    return count_text(number, "session")


def _most(periods: Sequence[Growth]) -> str:
    total = sum(one.sessions for one in periods)
    if not total:
        return "None were created in this time."
    top = max(periods, key=lambda one: one.sessions)
    return f"{count_text(total, 'session')}, {top.sessions:,} of them in {top.period}."


def _largest(periods: Sequence[Growth]) -> str:
    total = sum(one.bytes for one in periods)
    if not total:
        return "None were created in this time."
    top = max(periods, key=lambda one: one.bytes)
    return f"{size_text(total)}, {size_text(top.bytes)} of it in {top.period}."


def _outside(overview: Overview, shown: Sequence[Growth]) -> str | None:
    inside = sum(one.sessions for one in shown)
    total = sum(each.sessions for each in overview.counted)
    return f" {count_text(total - inside, 'session')} not of this time, or of none." if total > inside else None


# --- age and size ------------------------------------------------------------------------------------------


def retention(overview: Overview) -> Markup | None:
    """How old the sessions are, what a retention would remove, and where the space goes."""
    cards = [_ages(overview), _retentions(overview), _largest_tables(overview)]
    if not any(cards):
        return None
    hint = tag("p", "Age counts from the last use: updated, or created if never updated since.", class_="muted")
    return section("retention", "Age and size", hint if overview.counted else None, tag("div", *cards, class_="cards"))


def ages_table(ages: Sequence[Age]) -> Markup:
    """How many sessions were used last how long ago."""
    total = sum(age.sessions for age in ages)
    rows = ((_days(age), f"{age.sessions:,}", size_text(age.bytes), bar(age.sessions, total)) for age in ages)
    return table("Sessions by their last use", ("Not used for", "Sessions", "Size", "Share"), rows)


def retentions_table(retentions: Sequence[Retention], sessions: int) -> Markup:
    """What would go if only sessions stayed that were used since."""
    rows = (
        (f"{r.days} days", f"{r.sessions:,}", size_text(r.bytes), percent(r.sessions, sessions)) for r in retentions
    )
    return table("What a retention would remove", ("Keep for", "Would remove", "Size", "Share"), rows)


def _days(age: Age) -> str:
    if age.below is None:
        return f"over {age.days} days"
    return f"{age.days}–{age.below} days" if age.days else f"under {age.below} days"  # noqa: RUF001 - a range


def _ages(overview: Overview) -> Markup | None:
    return tag("div", ages_table(overview.ages), class_="card") if overview.counted else None


def _retentions(overview: Overview) -> Markup | None:
    if not overview.counted:
        return None
    sessions = sum(each.sessions for each in overview.counted)
    note = tag(
        "p",
        "To remove them, into an archive: ",
        command("storage-admin sessions prune --older-than 90d"),
        class_="muted",
    )
    return tag("div", retentions_table(overview.retentions, sessions), note, class_="card")


def _largest_tables(overview: Overview) -> Markup | None:
    known = [view for view in overview.tables if view.bytes is not None]
    if not known:
        return None
    number = {id(view): place for place, view in enumerate(overview.tables, 1)}
    largest = sorted(known, key=lambda view: view.bytes or 0, reverse=True)[:LARGEST]
    total = sum(view.bytes or 0 for view in known)

    def row(view: TableView) -> tuple[object, ...]:
        link = tag("a", breakable(view.plan.table), href=f"#t{number[id(view)]}")
        return link, size_text(view.bytes), bar(view.bytes or 0, total)

    caption = "The largest tables" if len(known) > 1 else "The largest table"
    return tag("div", table(caption, ("Table", "Size", "Share"), map(row, largest)), class_="card")


# --- the catalogue -----------------------------------------------------------------------------------------


def versions(overview: Overview) -> Markup:
    """The timeline of the catalogue, and how many tables are at each of its versions."""
    at = Counter(overview.by_version)
    most = max(at.values(), default=0)

    def item(number: int) -> Markup:
        version = overview.catalog.version(number)
        here = at[number]
        return tag(
            "li",
            tag("span", number, class_="number"),
            tag(
                "div",
                tag("p", tag("strong", version.released), tag("span", ", ".join(version.changed), class_="muted")),
                tag("p", version.summary),
            ),
            tag("div", bar(here, most), tag("span", count_text(here, "table")), class_="here") if here else None,
            class_="reached" if here else None,
        )

    without = f" {count_text(at[None], 'table')} at none of them." if at[None] else ""
    hint = f"What the releases of phidata and Agno made of the tables; the newest is {overview.catalog.head}.{without}"
    items = (item(number) for number in range(1, overview.catalog.head + 1))
    return section("versions", "Versions", tag("p", hint, class_="muted"), tag("ol", *items, class_="timeline"))
