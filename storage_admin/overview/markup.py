"""HTML from values: whatever is not markup of our own is escaped, and what cannot be seen is written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from storage_admin.schema import seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TICKS = "`"
LAYOUT = "\n\t"  # of SQL, which is shown as it is


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element. In the name of an attribute ``_`` stands for ``-``, and one at the end for nothing (``class_``); one
    that is None or False is left out, and one that is True has no value. A child that is None is left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items()) if attributes else ""
    # Put together by hand, since Markup.format takes ten times as long, and a page has 200,000 elements.
    text = f"<{name}{given}>{_joined(children)}</{name}>"
    return Markup(text)  # noqa: S704 - what it is made of is escaped, or is markup


def group(*children: object) -> Markup:
    """What is given, one after the other."""
    return Markup(_joined(children))  # noqa: S704 - as above


def _joined(children: Iterable[object]) -> str:
    return "".join(
        each if isinstance(each, Markup) else escape(seen(str(each), LAYOUT)) for each in children if each is not None
    )


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(seen(str(value), LAYOUT))}"'


def breakable(name: object) -> Markup:
    """A name that may be cut into lines between its words."""
    return Markup("_<wbr>").join(seen(str(name), LAYOUT).split("_"))


def coded(text: str) -> Markup:
    """A sentence in which what stands between backticks is code."""
    parts = text.split(TICKS)
    if len(parts) % 2 == 0:
        return group(text)
    return group(*(tag("code", part) if number % 2 else part for number, part in enumerate(parts)))


def table(caption: object, headers: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = True) -> Markup:
    """A table whose first column heads the rows; ``numbers``: all that follows in it is set to the right."""
    head = (tag("th", text, scope="col") for text in headers)
    body = (tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows)
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="numbers" if numbers else None,
    )


def bar(part: float, whole: float) -> Markup:
    """A bar as long as a part of the whole; whoever cannot see it has the number beside it."""
    share = 100 * part / whole if whole > 0 else 0
    rect = tag("rect", width=f"{min(100.0, max(share, 1.0 if part else 0)):.3g}%", height="100%")
    return tag("svg", rect, class_="bar", aria_hidden="true")


def moment(text: str) -> Markup:
    """A date, perhaps with a time, which no line ends in."""
    return tag("time", text) if text[:1].isdigit() else group(text)


def percent(part: float, whole: float) -> str:
    """A part of the whole, in percent."""
    return f"{part / whole:.0%}" if whole > 0 else "-"


def command(text: str) -> Markup:
    """What is typed in a terminal."""
    return tag("code", text, class_="cmd")
