"""An overview as one HTML page that needs nothing else: no network, no file beside it."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from storage_admin.overview import sections
from storage_admin.overview.markup import group, tag
from storage_admin.overview.rows import tables
from storage_admin.texts import time_text

if TYPE_CHECKING:
    from storage_admin.overview.values import Overview

# The browser runs this script and takes this style, by their hashes, and loads nothing from anywhere.
POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"
)
HEAD = Markup(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta name="generator" content="storage-admin {tool}">
<title>{title}</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
"""
)
# One of its own, or the browser would ask for /favicon.ico.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16'"
    " rx='3' fill='%230b63b8'/%3E%3Cpath d='M3 4h10M3 8h10M3 12h6' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)
NAMES = {
    "summary": "At a glance",
    "findings": "Findings",
    "growth": "Growth",
    "retention": "Age and size",
    "tables": "Tables",
    "versions": "Versions",
}


def page(overview: Overview) -> str:
    """The page of an overview."""
    script, style = _own("page.js"), _own("page.css")
    title = f"{database_name(overview)}: session storage"
    head = HEAD.format(
        policy=POLICY.format(script=_hash(script), style=_hash(style)),
        tool=overview.tool,
        title=title,
        icon=ICON,
        style=style,
    )
    body = tag("body", _skip(), _header(overview), _main(overview), _footer(overview), tag("script", script))
    return f"{head}{body}\n</html>\n"


def database_name(overview: Overview) -> str:
    """What its database is called: the last part of the URL."""
    url = overview.database.url
    return url.partition("?")[0].rstrip("/").rpartition("/")[2] or url


@cache
def _own(name: str) -> Markup:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of our own, in which nothing is filled


def _hash(text: Markup) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _skip() -> Markup:
    return tag("a", "Skip to the tables", href="#tables", class_="skip")


def _header(overview: Overview) -> Markup:
    info = overview.database
    name = tag("div", tag("p", "Session storage", class_="eyebrow"), tag("h1", database_name(overview)))
    facts = (tag("span", info.server), tag("span", info.url), tag("span", f"{time_text(overview.made)} UTC"))
    theme = tag("button", "Dark", type="button", id="theme", hidden=True)
    return tag("header", tag("div", name, theme, class_="top"), tag("p", *facts, class_="facts"))


def _main(overview: Overview) -> Markup:
    parts = {
        "summary": sections.summary(overview),
        "findings": sections.findings(overview),
        "growth": sections.growth(overview),
        "retention": sections.retention(overview),
        "tables": tables(overview),
        "versions": sections.versions(overview),
    }
    there = {name: part for name, part in parts.items() if part is not None}
    links = (tag("li", tag("a", NAMES[name], href=f"#{name}")) for name in there)
    navigation = tag("nav", tag("ul", *links), aria_label="Parts of this page")
    return group(navigation, tag("main", *there.values()))


def _footer(overview: Overview) -> Markup:
    said = (
        f"Made by storage-admin {overview.tool}, which read the database and changed nothing. The page holds counts and"
        " sizes, names of tables, columns, indexes and roles: no session, no user, no password."
    )
    return tag("footer", tag("p", said))
