from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_admin.database import displayed_url, parse_url, redact, secrets_in
from storage_admin.errors import BadDatabaseURL, UnsupportedDatabase

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


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=2, max_size=30))
def test_no_password_survives_in_any_form(password: str) -> None:
    escaped = quote(password, safe="")
    url = f"postgresql://user:{escaped}@host/db"
    message = f"could not log in with {password} or {escaped}"
    hidden = redact(message, secrets_in(url))
    for form in (password, escaped):
        if form not in "could not log in with  or ***":
            assert form not in hidden
    assert displayed_url(parse_url(url)) == "postgresql+psycopg://user:***@host/db"


def test_pieces_of_a_password_with_an_unescaped_at_sign_count_as_secrets() -> None:
    assert redact("no host half@h", secrets_in("postgresql://u:one@half@h/d")) == "no host ***@h"
