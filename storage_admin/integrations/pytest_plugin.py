"""The plugin for pytest: tables as old releases left them, and tests of the tables of an application.

Loaded with every run of pytest where storage-admin is installed, so nothing is imported here before it is needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL

    from storage_admin.integrations.old_tables import OldTables

NAME = "storage-admin"
URL_VARIABLE = "STORAGE_ADMIN_DB_URL"
URL_HELP = "URL of a test database: where agno_tables makes tables, and what --storage-admin tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and settings."""
    group = parser.getgroup(NAME)
    group.addoption(
        "--storage-admin",
        action="store_true",
        help="also test the session tables of storage_admin_url: current, upgrades idempotent, fresh equals upgraded",
    )
    group.addoption("--storage-admin-url", metavar="URL", help=URL_HELP)
    parser.addini("storage_admin_url", URL_HELP)
    parser.addini(
        "storage_admin_tables", "tables that --storage-admin tests, [SCHEMA.]NAME[=KIND] one a line (all)", "linelist"
    )


@pytest.fixture
def agno_tables(request: pytest.FixtureRequest) -> Iterator[OldTables]:
    """Make session tables as a release of Agno or phidata left them.

    ``agno_tables("1.1.10", kind="team", sessions=3, on="postgresql")`` gives an object with a ``url``, an ``engine``,
    the ``name`` of the table, and more: see storage_admin.integrations.old_tables.
    """
    from storage_admin.integrations.old_tables import OldTables

    def file() -> Path:
        folder: Path = request.getfixturevalue("tmp_path")
        return folder / "sessions.db"

    with OldTables(file, lambda: _server(request), _url(request.config)) as tables:
        yield tables


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests of --storage-admin."""
    if config.getoption("storage_admin"):
        items.extend(Tables.from_parent(session, name=NAME, nodeid=NAME).collect())


class Tables(pytest.Collector):
    """The tests of all tables."""

    def collect(self) -> Iterator[pytest.Item]:
        """Three tests a table: the named ones, or all that are in the database."""
        from storage_admin.errors import StorageAdminError
        from storage_admin.integrations.twins import CHECKS, names

        url = _url(self.config) or os.environ.get(URL_VARIABLE)
        if not url:
            raise pytest.UsageError(
                f"--storage-admin needs a database: storage_admin_url in the settings of pytest, {URL_VARIABLE}, or "
                "--storage-admin-url"
            )
        try:
            tables = self.config.getini("storage_admin_tables") or names(url)
        except StorageAdminError as error:
            raise pytest.UsageError(str(error)) from None
        for table in tables:
            for name, check in CHECKS.items():
                yield TableTest.from_parent(self, name=name.format(table), check=check, url=url, table=table)


class TableTest(pytest.Item):
    """One assertion about one table."""

    def __init__(self, *, check: Callable[[str, str], None], url: str, table: str, **named: Any) -> None:
        super().__init__(**named)
        self._check, self._url, self._table = check, url, table

    def runtest(self) -> None:
        """Run it."""
        self._check(self._url, self._table)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A sentence instead of our own frames, where the sentence says it."""
        from storage_admin.errors import StorageAdminError

        if isinstance(excinfo.value, (AssertionError, StorageAdminError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is said to be."""
        return self.config.rootpath, None, f"{NAME}: {self.name}"


def _url(config: pytest.Config) -> str | None:
    """The configured database; a relative path of a SQLite file counts from the folder of the settings."""
    url: str | None = config.getoption("storage_admin_url") or config.getini("storage_admin_url")
    if not url:
        return None
    from storage_admin.settings.variables import within

    return within(config.rootpath, url)


def _server(request: pytest.FixtureRequest) -> str | URL:
    from sqlalchemy import URL

    from storage_admin.errors import NoPlaceForTables

    try:
        found = request.getfixturevalue("postgresql")
    except pytest.FixtureLookupError:
        problem = "there is no fixture postgresql; it comes with pytest-postgresql"
        raise NoPlaceForTables(on="postgresql", problem=problem) from None
    if isinstance(found, (str, URL)):
        return found
    info = found.info  # of a connection of psycopg
    where: dict[str, Any] = {"host": info.host}
    if info.host.startswith("/"):  # the folder of a socket
        where = {"query": {"host": info.host}}
    return URL.create(
        "postgresql+psycopg",
        username=info.user,
        password=info.password or None,
        port=info.port,
        database=info.dbname,
        **where,
    )
