from __future__ import annotations

import pytest

from tests.conftest import Database

ALL = ("postgres", "sqlite", "mariadb", "singlestore")


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest) -> Database:
    """A database of each sort, and once more a MariaDB, in the place of a SingleStore."""
    fixture: Database = request.getfixturevalue(request.param)
    if fixture.dialect.has_schemas:
        fixture.run("CREATE SCHEMA IF NOT EXISTS ai")
    return fixture
