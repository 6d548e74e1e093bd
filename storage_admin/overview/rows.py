"""The tables, each as a row, and beneath it, when it is opened, all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from storage_admin.changes import ExtraColumn, Status
from storage_admin.doctor import Level
from storage_admin.overview.charts import last_months, spark
from storage_admin.overview.markup import breakable, group, moment, table, tag
from storage_admin.overview.sections import badge, finding, retentions_table, section
from storage_admin.overview.values import GRAVITY
from storage_admin.texts import changes_text, size_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.overview.values import IndexView, Overview, TableView

DETAILS_BYTES = 2_200_000  # in all; with the rows of a thousand tables a page stays below 3 MB
YEAR = 12  # months
# A heading, and how its column is sorted: as a text, as a number, or not at all. page.css sets them by their place.
HEADINGS = (
    ("Table", "text"),
    ("Kinds", "text"),
    ("Status", "number"),
    ("Version", "number"),
    ("Pending", "number"),
    ("Sessions", "number"),
    ("Size", "number"),
    ("Users", "number"),
    ("Last used", "number"),
    ("12 months", None),
    ("Findings", "number"),
)
TOOLS = Markup(
    """<form class="tools" role="search" aria-label="Filter the tables" hidden>
<label for="q">Filter</label><input id="q" type="search" placeholder="name, kind, status or change" autocomplete="off"
 spellcheck="false">
<div class="chips" role="group" aria-label="By status">{chips}</div>
<output id="shown" for="q"></output><button type="button" id="open-all">Open all</button></form>"""
)


def tables(overview: Overview) -> Markup:
    """The table of the tables."""
    details = _within(overview, DETAILS_BYTES)
    heads = (tag("th", text, scope="col", data_sort=sort) for text, sort in HEADINGS)
    caption = "Every session table that was looked at."
    if len(details) < len(overview.tables):
        caption += (
            f" To keep the page small only {len(details):,} have details here, the gravest and largest. For those of"
            " another one, name it: storage-admin report FILE.html TABLE"
        )
    rows = (_row(overview, view, number, details.get(number)) for number, view in enumerate(overview.tables, 1))
    head = tag("thead", tag("tr", *heads, class_="heads"))
    tools = TOOLS.format(chips=_chips(overview))
    return section("tables", "Tables", tools, tag("table", tag("caption", caption), head, *rows, id="list"))


def _within(overview: Overview, limit: int) -> dict[int, Markup]:
    """The details of tables, by their numbers: of the gravest first, then of the largest, until the page is full."""
    views = enumerate(overview.tables, 1)
    found: dict[int, Markup] = {}
    for number, view in sorted(views, key=lambda one: (GRAVITY.index(one[1].plan.status), -(one[1].bytes or 0))):
        details = _details(overview, view)
        limit -= len(details)
        if limit < 0:
            break
        found[number] = details
    return found


def _chips(overview: Overview) -> Markup:
    found = sum(bool(view.findings) for view in overview.tables)
    chips = [("all", "", len(overview.tables))]
    chips += [(status.value, status.value, number) for status, number in overview.by_status.items()]
    chips += [("with findings", "found", found)] if found else []
    return group(
        *(
            tag(
                "button",
                f"{text} ",
                tag("b", f"{number:,}"),
                type="button",
                data_only=only,
                aria_pressed=str(not only).lower(),
            )
            for text, only, number in chips
        )
    )


# --- a row -------------------------------------------------------------------------------------------------


def _row(overview: Overview, view: TableView, number: int, details: Markup | None) -> Markup:
    plan, counted = view.plan, view.statistics
    newest = counted.newest if counted is not None else None
    cells = (
        tag("th", breakable(plan.table), scope="row"),
        tag("td", ", ".join(plan.kinds)),
        tag("td", badge(plan.status.value), data_v=GRAVITY.index(plan.status)),
        tag("td", _version(view), data_v=plan.version or 0 if plan.runnable else None),
        _number(len(plan.changes) if plan.runnable else None),
        _number(view.sessions, "" if counted is not None else "≈ "),
        tag("td", size_text(view.bytes), data_v=view.bytes or 0),
        _number(counted.users if counted is not None else None),
        tag("td", moment(time_text(newest).partition(" ")[0]), data_v=newest if isinstance(newest, int) else 0),
        tag("td", spark(last_months(counted.months, overview.made, YEAR)) if counted is not None else None),
        _health(view),
    )
    return tag(
        "tbody",
        tag("tr", *cells, class_="row"),
        tag("tr", tag("td", details, colspan=len(HEADINGS)), class_="more") if details is not None else None,
        id=f"t{number}",
        data_status=plan.status.value,
        data_found=bool(view.findings),
    )


def _number(number: int | None, before: str = "") -> Markup:
    text = "-" if number is None else f"{before}{number:,}"
    return tag("td", text, data_v=None if text == str(number) else number or 0)


def _version(view: TableView) -> str:
    plan = view.plan
    here = "none" if plan.version is None else str(plan.version)
    return f"{here} → {plan.target_version}" if plan.runnable and plan.version != plan.target_version else here


def _health(view: TableView) -> Markup:
    if not view.findings:
        return tag("td")
    place = {Level.NOTE: 1, Level.WARNING: 2, Level.PROBLEM: 3}.get(view.level, 0)
    return tag("td", badge(view.level.value), data_v=place)


# --- what is beneath it ------------------------------------------------------------------------------------


def _details(overview: Overview, view: TableView) -> Markup:
    blocks = (
        _pending(view),
        _block("Findings", tag("ul", *map(finding, view.findings), class_="findings")) if view.findings else None,
        _numbers(view),
        *_by_time(overview, view),
        _indexes(view),
        _kept(view),
    )
    summary = tag("summary", tag("span", f"Details of {view.plan.table}", class_="vh"))
    return tag("details", summary, tag("div", *blocks, class_="panel"))


def _block(title: str, *content: object, class_: str | None = None) -> Markup:
    return tag("div", tag("h3", title), *content, class_=class_)


def _pending(view: TableView) -> Markup:
    plan = view.plan
    if plan.status is Status.AHEAD:
        said = f"Recorded at version {plan.recorded} by a newer storage-admin; it is not touched."
    elif plan.status is Status.DRIFTED:
        said = "Nothing is changed before this is mended:"
    elif plan.runnable:
        said = f"{changes_text(plan.changes).capitalize()}."
    else:
        said = "Nothing is pending."
    sql = "\n".join(f"{statement};" for statement in view.statements)
    return _block(
        "Pending",
        tag("p", said),
        tag("ul", *(tag("li", drift) for drift in plan.drifts)) if plan.drifts else None,
        tag("pre", tag("code", sql)) if sql else None,
        class_="wide",
    )


def _numbers(view: TableView) -> Markup:
    counted, revision = view.statistics, view.revision
    facts: list[tuple[str, object]] = [("Kinds", ", ".join(view.plan.kinds))]
    if view.sessions is not None:
        facts.append(("Sessions", f"{view.sessions:,}" if counted is not None else f"≈ {view.sessions:,} (estimate)"))
    if counted is not None:
        facts += [("Users", f"{counted.users:,}"), ("Runs", f"{counted.runs:,}"), ("Rows", size_text(counted.bytes))]
        used = (("First created", counted.oldest), ("Last used", counted.newest))
        facts += [(name, moment(time_text(seconds))) for name, seconds in used]
    elif view.plan.live is not None:
        facts.append(("Not counted", view.unread))
    if revision is not None:
        when = f"{revision.applied_at:%Y-%m-%d %H:%M}" if revision.applied_at is not None else "at an unknown time"
        facts.append(("Last upgrade", f"{when}, to version {revision.to_version}"))
    return _block("Numbers", tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts)))


def _by_time(overview: Overview, view: TableView) -> Iterable[Markup]:
    counted = view.statistics
    if counted is None or not counted.sessions:
        return
    yield tag("div", retentions_table(counted.retentions, counted.sessions))
    months = last_months(counted.months, overview.made, YEAR)
    rows = [(month.period, f"{month.sessions:,}") for month in months if month.sessions]
    if rows:
        yield tag("div", table("Created per month", ("Month", "Sessions"), rows))


def _indexes(view: TableView) -> Markup | None:
    # What is missing is in the SQL already, where there is some.
    shown = [index for index in view.indexes if index.state != "missing" or not view.statements]
    return _block("Indexes", tag("ul", *map(_index, shown))) if shown else None


def _index(index: IndexView) -> Markup:
    what = f" {'unique, ' if index.unique else ''}on {', '.join(index.columns)}"
    state = None if index.state == "valid" else group(" ", badge(index.state))
    return tag("li", tag("code", index.name), what, state)


def _kept(view: TableView) -> Markup | None:
    if not view.plan.extras:
        return None
    named = (
        (f"column {e.column.name}, {e.column.type}" if isinstance(e, ExtraColumn) else f"index {e.name}", e.retired)
        for e in view.plan.extras
    )
    items = (tag("li", f"{name} (retired)" if retired else name) for name, retired in named)
    return _block("Kept, and not asked for", tag("ul", *items))
