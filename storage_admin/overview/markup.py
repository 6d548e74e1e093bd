"""HTML from values: whatever is not markup of our own is escaped, and what cannot be seen is written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TICKS = "`"


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element. In the name of an attribute ``_`` stands for ``-``, and one at the end for nothing (``class_``); one
    that is None or False is left out, and one that is True has no value. A child that is None is left out.
    """
    return Markup("<{0}{1}>{2}</{0}>").format(name, _attributes(attributes), group(*children))


def group(*children: object) -> Markup:
    """What is given, one after the other."""
    return Markup("").join(
        each if isinstance(each, Markup) else seen(str(each)) for each in children if each is not None
    )


def _attributes(attributes: dict[str, object]) -> Markup:
    found = []
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            found.append(Markup(" {}").format(key))
        elif value is not None and value is not False:
            found.append(Markup(' {}="{}"').format(key, seen(str(value))))
    return Markup("").join(found)


def seen(text: str) -> str:
    """A text with what nobody sees written out: a name may hold a character that turns the line around."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def coded(text: str) -> Markup:
    """A sentence in which what stands between backticks is code."""
    parts = text.split(TICKS)
    if len(parts) % 2 == 0:
        return group(text)
    return group(*(tag("code", part) if number % 2 else part for number, part in enumerate(parts)))


def table(
    caption: object,
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    hidden_caption: bool = False,
) -> Markup:
    """A table whose first column heads the rows. The columns ``numbers`` (from 0) are set to the right."""
    right = frozenset(numbers)

    def cell(column: int, value: object) -> Markup:
        class_ = "n" if column in right else None
        return tag("th", value, scope="row", class_=class_) if column == 0 else tag("td", value, class_=class_)

    head = (tag("th", text, scope="col", class_="n" if i in right else None) for i, text in enumerate(headers))
    body = (tag("tr", *(cell(i, value) for i, value in enumerate(row))) for row in rows)
    return tag(
        "table",
        tag("caption", caption, class_="vh" if hidden_caption else None),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )


def bar(part: float, whole: float) -> Markup:
    """A bar as long as a part of the whole; whoever cannot see it has the number beside it."""
    share = 100 * part / whole if whole > 0 else 0
    rect = tag("rect", width=f"{min(100.0, max(share, 1.0 if part else 0)):.3g}%", height="100%")
    return tag("svg", rect, class_="bar", aria_hidden="true")


def command(text: str) -> Markup:
    """What is typed in a terminal."""
    return tag("code", text, class_="cmd")
