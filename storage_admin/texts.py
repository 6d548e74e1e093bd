"""Numbers, sizes, moments and changes in words, for people: on a terminal, and on the page of a report."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from storage_admin import changes as c

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KILO = 1024


def count_text(number: int, what: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def one_line(text: str, but: str = "") -> str:
    """A text of somebody else without what ends a line, or what a terminal obeys, but for some characters."""
    return "".join(c if c.isprintable() or c in but else "?" for c in text)


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`` Did you mean this?``, or nothing where nothing that is known is as similar."""
    import difflib  # not free, and needed by nobody who makes no mistake

    return meant_text(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff))


def meant_text(words: Sequence[str]) -> str:
    """`` Did you mean this or that?``, or nothing."""
    return f" Did you mean {' or '.join(words)}?" if words else ""


def size_text(size: int | None) -> str:
    """A size in the largest unit that leaves a digit before the point."""
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < KILO:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= KILO
    return f"{value:.1f} TB"


def time_text(seconds: int | None) -> str:
    """A moment in UTC; a dash where there is none, and what is none as it is."""
    if seconds is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError, TypeError):
        return str(seconds)


def changes_text(changes: Sequence[c.Change]) -> str:
    """What some changes do, in a few words: columns by name, indexes by number."""
    parts = [f"create schema {change.schema}" for change in changes if isinstance(change, c.CreateSchema)]
    parts += ["create table" for change in changes if isinstance(change, c.CreateTable)]
    for what, kind in (("add", c.AddColumn), ("set the default of", c.SetDefault)):
        names = [change.column.name for change in changes if isinstance(change, kind)]
        parts += [f"{what} {', '.join(names)}"] if names else []
    for what, made in (("create", c.CreateIndex), ("rebuild", c.RebuildIndex)):
        number = sum(isinstance(change, made) for change in changes)
        parts += [f"{what} {number} {'index' if number == 1 else 'indexes'}"] if number else []
    return "; ".join(parts)
