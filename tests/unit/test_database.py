from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from storage_admin.database import parse_url
from storage_admin.errors import BadDatabaseURL, UnsupportedDatabase, UsageError
from storage_admin.locking import Patience
from storage_admin.messages import displayed_url, redact, secrets_in

SECRET = "CANARY-s3cret"


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg"),
        ("sqlite:///file.db", "sqlite"),
        ("sqlite+aiosqlite:///file.db", "sqlite"),
    ],
)
def test_a_url_settles_on_a_driver_that_we_bring(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        f"postgresql:/u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@x@h/d",
        f"postgresql://u:{SECRET}@h:port/d",
        f"postgresql://u:12/{SECRET}@h/d",
        f"postgresql://u:{SECRET}#@h@h/d",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_a_piece_of_it(url: str) -> None:
    with pytest.raises(BadDatabaseURL) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 64


def test_an_unknown_product_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedDatabase, match="oracle is not supported"):
        parse_url("oracle://u@h/d")


@pytest.mark.parametrize("key", ["password", "sslpassword", "passfile", "token"])
def test_secrets_among_the_parameters_are_masked_too(key: str) -> None:
    shown = displayed_url(parse_url(f"postgresql://u@h/d?{key}={SECRET}&application_name=x"))
    assert SECRET not in shown
    assert "***" in shown
    assert "application_name=x" in shown


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
def test_no_password_survives_in_its_place_nor_a_long_one_as_a_word(password: str) -> None:
    escaped = quote(password, safe="")
    url = f"postgresql://user:{escaped}@host/db"
    secrets = secrets_in(url)
    assert displayed_url(parse_url(url)) == "postgresql+psycopg://user:***@host/db"
    assert redact(f"cannot open {url}", secrets) == "cannot open postgresql://user:***@host/db"
    if len(password) >= 6:
        assert redact(f"( {password} )", secrets) == "( *** )"


def test_a_short_password_does_not_punch_holes_that_give_it_away() -> None:
    secrets = secrets_in("postgresql://ai:ai@host/ai")
    assert redact("connection failed: role ai does not exist", secrets) == "connection failed: role ai does not exist"
    assert redact("postgresql://ai:ai@host/ai", secrets) == "postgresql://ai:***@host/ai"


def test_a_sqlite_url_with_too_few_slashes_is_explained() -> None:
    with pytest.raises(BadDatabaseURL, match="three slashes"):
        parse_url("sqlite://file.db")


def test_a_path_is_shown_as_it_is() -> None:
    assert displayed_url(parse_url("sqlite:///my file#1.db")) == "sqlite:///my file#1.db"


@pytest.mark.parametrize("wrong", [{"lock_timeout_ms": -1}, {"lock_timeout_ms": 0}, {"wait_seconds": -0.1}])
def test_no_patience_is_less_than_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="lock_timeout_ms is 1 or more"):
        Patience(**wrong)
