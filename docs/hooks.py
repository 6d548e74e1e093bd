"""What MkDocs does not know of this repository: what lies outside docs/, and that no page asks another server.

A link leads to a file of the repository, as on GitHub. On the site a page that lies outside docs/ is a page too, and
any other file that a page links to lies beside the pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "versions/README.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
# At the head of what is generated; MkDocs takes a title from the first line alone.
NOTE = re.compile(r"\A<!--.*?-->\s*")
# What makes a browser fetch something by itself; a link that somebody has to follow does not.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|link(?![^>]*rel="?canonical))\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*"""
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, and each file that a page links to."""
    for page in PAGES:
        files.append(File.generated(config, page, abs_src_path=str(ROOT / page)))
    wanted = {linked for page in files.documentation_pages() for linked in _linked(page)}
    for name in sorted(wanted):
        if files.get_file_from_path(name) is None and (ROOT / name).is_file():
            added = File.generated(config, name, abs_src_path=str(ROOT / name), inclusion=InclusionLevel.NOT_IN_NAV)
            files.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs's
    """Let the links of a page lead to where the site has the file."""
    markdown = NOTE.sub("", markdown)
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda link: posixpath.relpath(_on_site(page.file, link[1]), here or "."), markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - MkDocs's
    """Refuse a page that would fetch something from elsewhere.

    Raises:
        PluginError
    """
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches something from elsewhere: {found[0]}")
    return output


def _linked(page: File) -> set[str]:
    return {_on_site(page, link[1]) for link in LINK.finditer(page.content_string)}


def _on_site(page: File, link: str) -> str:
    """Where on the site a link of a page leads: what is in docs/ lies at the top, all else under its own path."""
    home = (
        posixpath.dirname(page.src_uri)
        if page.src_uri in PAGES
        else posixpath.join("docs", posixpath.dirname(page.src_uri))
    )
    return posixpath.normpath(posixpath.join(home, link)).removeprefix("docs/")
