"""Charts as SVG: each has a title and a description, a number on each column, and a table that says the same."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from storage_admin.overview.markup import group, table, tag
from storage_admin.sessions import Growth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

MONTHS, DAYS = 24, 90
FEWEST = 6  # periods, below which a chart looks as if there were a scale of its own
PLOT = 88  # percent of the width; the rest is for the numbers of the scale
TOP, BOTTOM = 8, 86  # percent of the height
STEPS = (1, 2, 5, 10)
KILO = 1000


class Chart(msgspec.Struct, frozen=True):
    """What a chart of columns shows: ``columns`` are periods and their numbers, ``text`` writes a number out."""

    id: str
    title: str
    takeaway: str
    period: str
    columns: tuple[tuple[str, int], ...]
    text: Callable[[int], str]


def chart(data: Chart) -> Markup:
    """A figure: its title, what is to be seen in it, the columns, and the same as a table."""
    names = f"{data.id}-t", f"{data.id}-d"
    return tag(
        "figure",
        tag("figcaption", tag("h3", data.title), tag("p", data.takeaway, class_="muted")),
        tag(
            "svg",
            tag("title", data.title, id=names[0]),
            tag("desc", data.takeaway, id=names[1]),
            *_scale(data),
            *_columns(data),
            *_periods(data),
            class_="chart",
            role="img",
            aria_labelledby=" ".join(names),
        ),
        tag(
            "details",
            tag("summary", "As a table"),
            table(
                data.title,
                (data.period, data.title),
                ((period, data.text(number)) for period, number in reversed(data.columns)),
            ),
            class_="as-table",
        ),
    )


def nice(number: float) -> int:
    """The next number of the sort 1, 2, 5, 10, ... that is not smaller."""
    if number <= 1:
        return 1
    power = 10 ** math.floor(math.log10(number))
    return int(next(step * power for step in STEPS if step * power >= number))


def short(number: int) -> str:
    """A number in four characters or so, for a scale."""
    value = float(number)
    for unit in ("", "k", "M", "G"):
        if value < KILO:
            return f"{value:g}{unit}"
        value /= KILO
    return f"{value:g}T"


def _top(data: Chart) -> int:
    return nice(max((number for _, number in data.columns), default=0))


def _height(number: float, top: float) -> float:
    return (BOTTOM - TOP) * number / top


def _scale(data: Chart) -> list[Markup]:
    top = _top(data)
    lines = []
    for value in (0, top / 2, top):
        y = f"{BOTTOM - _height(value, top):g}%"
        lines.append(tag("line", x1=0, x2=f"{PLOT}%", y1=y, y2=y, class_="grid"))
        if value == int(value) and value:
            lines.append(tag("text", short(int(value)), x="100%", y=y, dy="0.35em", text_anchor="end"))
    return lines


def _columns(data: Chart) -> list[Markup]:
    top, step = _top(data), PLOT / max(len(data.columns), 1)
    found = []
    for place, (period, number) in enumerate(data.columns):
        height = max(_height(number, top), 0.8 if number else 0)
        x, width = f"{place * step + step * 0.12:.2f}%", f"{step * 0.76:.2f}%"
        said = tag("title", f"{period}: {data.text(number)}")
        found.append(
            tag("rect", said, x=x, width=width, y=f"{BOTTOM - height:.2f}%", height=f"{height:.2f}%", class_="col")
            if number
            else None
        )
    return [each for each in found if each is not None]


def _periods(data: Chart) -> list[Markup]:
    last, step = len(data.columns) - 1, PLOT / max(len(data.columns), 1)
    places = {0: "start", last // 2: "middle", last: "end"} if last > 1 else {0: "start"}
    centres = {"start": 0, "middle": step / 2, "end": step}
    return [
        tag("text", data.columns[place][0], x=f"{place * step + centres[anchor]:.2f}%", y="99%", text_anchor=anchor)
        for place, anchor in places.items()
        if data.columns
    ]


def spark(months: Sequence[Growth]) -> Markup | None:
    """Columns as small as a word, for a row of a table; None where there is nothing to see."""
    most = max((growth.sessions for growth in months), default=0)
    if not most:
        return None
    heights = (
        (place, max(1, round(15 * growth.sessions / most))) for place, growth in enumerate(months) if growth.sessions
    )
    path = "".join(f"M{place * 4} 16v-{height}h3v{height}" for place, height in heights)
    return tag("svg", tag("path", d=path), class_="spark", viewBox="0 0 47 16", aria_hidden="true")


def last_months(growth: Sequence[Growth], now: int, number: int = MONTHS) -> tuple[Growth, ...]:
    """The last months, those without a session too; fewer where the first session is younger."""
    moment = datetime.fromtimestamp(now, timezone.utc)
    months = moment.year * 12 + moment.month - 1
    periods = [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(months - number + 1, months + 1)]
    return _filled(growth, periods)


def last_days(growth: Sequence[Growth], now: int, number: int = DAYS) -> tuple[Growth, ...]:
    """The last days, those without a session too; fewer where the first session is younger."""
    today = datetime.fromtimestamp(now, timezone.utc).date()
    return _filled(growth, [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in range(number - 1, -1, -1)])


def _filled(growth: Sequence[Growth], periods: list[str]) -> tuple[Growth, ...]:
    known = {one.period: one for one in growth}
    before = any(period < periods[0] for period in known)
    first = 0 if before else next((i for i, period in enumerate(periods) if period in known), len(periods))
    shown = periods[min(first, max(0, len(periods) - FEWEST)) :]
    return tuple(known.get(period) or Growth(period, 0, 0) for period in shown)


def legend(parts: Sequence[tuple[str, int]]) -> Markup:
    """One bar of several parts, each with a class and a number; the numbers stand beside it."""
    whole, x, found = sum(number for _, number in parts), 0.0, []
    for class_, number in parts:
        width = 100 * number / whole if whole else 0
        found.append(tag("rect", x=f"{x:.3f}%", width=f"{width:.3f}%", height="100%", class_=class_))
        x += width
    return tag("svg", group(*found), class_="parts", aria_hidden="true")
