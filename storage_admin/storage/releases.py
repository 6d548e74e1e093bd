"""Which version of the catalogue a release of phidata or Agno is at."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from storage_admin.errors import NotReleasedYet, UnknownRelease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect

    Release = tuple[bool, tuple[int, ...]]  # agno?, the numbers: in the order in which they came out

RELEASE = re.compile(r"(?:(?P<package>agno|phidata)(?: |-|==))?v?(?P<numbers>\d+\.\d+(?:\.\d+)*)")
# The versions are those of PostgreSQL. On SQLite the first release with this kind made its newest table at once.
AT_ONCE = {("sqlite", "workflow_v2"): 10}
FIRST = {"mysql": "agno 1.7.2"}  # the first one with a storage for it


def version_at(release: str | int, kinds: Sequence[str], catalog: Catalog, dialect: Dialect) -> int:
    """The version of the tables that a release made for some kinds: "1.1.10", "agno 1.1.10", "phidata 2.5.21".

    A number is a version itself. That there is a release is not looked up: what lies between two counts as the former.

    Raises:
        UnknownRelease, NotReleasedYet, UnknownKind, UnknownVersion, KindNotInVersion
    """
    first = catalog.version(catalog.first_version(kinds))
    if isinstance(release, int):
        catalog.target_for(kinds, release, dialect.name)
        return release
    named = _read(release, catalog)
    earliest = FIRST.get(dialect.name)
    if earliest is not None and named < _key(earliest):
        raise NotReleasedYet(release=release, what=dialect.title, first=earliest)
    if named < _key(first.released):
        raise NotReleasedYet(release=release, what=" and ".join(kinds), first=first.released)
    version = max(v.number for v in catalog.versions if _key(v.released) <= named)
    return max(version, *(AT_ONCE.get((dialect.name, kind), 0) for kind in kinds))


def _read(text: str, catalog: Catalog) -> Release:
    match = RELEASE.fullmatch(text.strip().lower())
    if match is None:
        known = [v.released for v in catalog.versions]
        close = difflib.get_close_matches(text, [*known, *(name.split()[1] for name in known)], n=1, cutoff=0.5)
        raise UnknownRelease(release=text, problem="it cannot be read", suggestion=_meant(close))
    numbers = match["numbers"]
    package = match["package"] or "agno"
    found = _key(f"{package} {numbers}")
    if package == "agno" and found[1][0] > 1:
        phidata = _key(f"phidata {numbers}")
        there = match["package"] is None and _key(catalog.versions[0].released) <= phidata < (False, (2, 8, 0))
        meant = [f"phidata {numbers}"] if there else []
        raise UnknownRelease(release=text, problem="agno 2 and later keep other tables", suggestion=_meant(meant))
    if found < (oldest := _key(catalog.versions[0].released)) or (package == "phidata" and found[1] >= (3,)):
        problem = f"phidata began with {catalog.versions[0].released}" if found < oldest else "phidata ended with 2.7"
        raise UnknownRelease(release=text, problem=problem, suggestion="")
    return found


def _key(release: str) -> Release:
    package, _, numbers = release.partition(" ")
    return package == "agno", tuple(int(number) for number in [*numbers.split("."), "0"][:3])


def _meant(close: Sequence[str]) -> str:
    return f" Did you mean {close[0]!r}?" if close else ""
