"""postgresql:// with nothing in it: the variables, the service file and the password file of libpq say the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_admin import StorageAdmin
from storage_admin.errors import CannotConnect
from tests.conftest import Database
from tests.servers import Server

PASSWORD = "a:b\\c d"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with Server("password_encryption = 'scram-sha-256'", hba="host all ada 127.0.0.1/32 scram-sha-256") as server:
        server.run(f"CREATE ROLE ada LOGIN PASSWORD '{PASSWORD}'")
        server.create("agents")
        yield server


@pytest.fixture
def password_file(guarded: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"{guarded.host}:{guarded.port}:agents:ada:{escaped}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    return file


def names(url: str, schema: str = "public") -> list[str]:
    admin = StorageAdmin(url, schema=schema)
    return [str(plan.table) for plan in admin.plan(["sessions=agent"]).plans]


def test_the_variables_of_libpq_name_the_database(
    guarded: Server, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"PGHOST": guarded.host, "PGPORT": str(guarded.port), "PGUSER": "ada", "PGDATABASE": "agents"}
    for name, value in facts.items():
        monkeypatch.setenv(name, value)
    shown = f"postgresql+psycopg://ada@{guarded.host}:{guarded.port}/agents"
    for url in ("postgresql://", "postgres://", "postgresql:///", "postgresql:///?application_name=x"):
        survey = StorageAdmin(url, schema="public").plan(["sessions=agent"])
        assert survey.database.url.partition("?")[0] == shown  # not what was written, which says nothing
    password_file.unlink()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert names("postgresql://") == ["public.sessions"]
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(CannotConnect, match="no password supplied"):
        names("postgresql://")


def test_a_service_names_the_database(
    guarded: Server, password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert password_file.exists()
    service = tmp_path / "services.conf"
    service.write_text(
        f"[agents]\nhost={guarded.host}\nport={guarded.port}\n"
        "user=ada\ndbname=agents\napplication_name=of the service\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    admin = StorageAdmin("postgresql://?service=agents", schema="public")
    with admin.opened([]) as (connection, _):
        found = connection.exec_driver_sql("SELECT current_setting('application_name')").scalar()
        assert found == "of the service"
    monkeypatch.setenv("PGSERVICE", "agents")
    assert names("postgresql://") == ["public.sessions"]
    monkeypatch.setenv("PGSERVICE", "typo")
    with pytest.raises(CannotConnect, match="typo"):
        names("postgresql://")


def test_the_name_of_the_application_and_the_patience_with_the_server_are_what_libpq_is_told(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "SELECT current_setting('application_name')"
    with StorageAdmin(postgres.url).opened([]) as (connection, _):
        assert connection.exec_driver_sql(asked).scalar() == "storage-admin"
    monkeypatch.setenv("PGAPPNAME", "nightly check")
    with StorageAdmin(postgres.url).opened([]) as (connection, _):
        assert connection.exec_driver_sql(asked).scalar() == "nightly check"


def test_a_password_file_serves_a_url_without_a_password(guarded: Server, password_file: Path) -> None:
    assert password_file.exists()
    assert names(guarded.url("agents", "ada")) == ["public.sessions"]
