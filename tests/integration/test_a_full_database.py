"""A database as an operator has it: twelve session tables, and what else lives there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage_admin import Status
from storage_admin.catalog import Catalog
from storage_admin.cli import run
from tests.conftest import Database
from tests.shapes import evolved_shapes, released_shapes

HEAD_OF_AGNO_1_8_4 = 10
OURS = {  # table: (shape, outdated towards that head)
    "ai.a1": ("PG-A1", True),
    "ai.a4": ("PG-A4", True),
    "ai.a5": ("PG-A5", False),
    "ai.t1": ("PG-T1", True),
    "ai.tu2": ("PG-Tu2", False),
    "ai.w2": ("PG-W2", True),
    "crm.w3": ("PG-W3", True),
    "crm.w4": ("PG-W4", False),
    "crm.v2": ("PG-V2", True),
    "crm.v3": ("PG-V3", False),
    '"Sales 2".wu1': ("PG-Wu1", True),
    '"Sales 2".evolved': ("t_po_agent_di_ag_1_1_13+1.1.17+1.8.4", True),
}
OTHERS = """
CREATE SCHEMA shop;
CREATE TABLE public.alembic_version (version_num VARCHAR(32) PRIMARY KEY);
CREATE TABLE ai.documents (id VARCHAR PRIMARY KEY, name VARCHAR, meta_data JSONB, content TEXT, embedding REAL[],
  usage JSONB, created_at TIMESTAMPTZ DEFAULT now(), updated_at TIMESTAMPTZ, content_hash VARCHAR);
CREATE VIEW ai.recent AS SELECT * FROM ai.a5;
CREATE TABLE shop.web_sessions (session_id VARCHAR PRIMARY KEY, user_id VARCHAR, data JSONB, expires_at BIGINT);
CREATE TABLE shop.cart (session_id VARCHAR, agent_id VARCHAR, item TEXT);
"""


@pytest.fixture
def full(postgres: Database) -> Database:
    shapes = {shape.id: shape for shape in (*released_shapes(), *evolved_shapes())}
    postgres.run('CREATE SCHEMA ai; CREATE SCHEMA crm; CREATE SCHEMA "Sales 2"')
    for table, (shape, _) in OURS.items():
        name = table.rpartition(".")[2]
        made = shapes[shape]
        ddl = made.ddl.replace(f"ai.{made.name}", table).replace(f"_{made.name}_", f"_{name}_")
        postgres.run(ddl)
    postgres.run(OTHERS)
    postgres.run("".join(shape.ddl for shape in released_shapes(assistants=True) if shape.dialect == "postgresql"))
    return postgres


@pytest.fixture
def command(full: Database, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        code = run([*arguments, "--db-url", full.url])
        return code, capsys.readouterr().out

    return call


def test_inspect_lists_exactly_the_session_tables(command: Callable[..., tuple[int, str]]) -> None:
    code, out = command("inspect", "-o", "json")
    found = {f"{table['schema']}.{table['name']}" for table in json.loads(out)["tables"]}
    assert code == 0
    assert found == {name.replace('"', "") for name in OURS}


def test_upgrade_touches_exactly_the_outdated_ones_and_check_goes_from_2_to_0(
    full: Database, command: Callable[..., tuple[int, str]], catalog: Catalog
) -> None:
    grown = {kind for kind in catalog.kinds if catalog.definitions(kind)[-1][0] > HEAD_OF_AGNO_1_8_4}
    untouched = others(full)
    assert command("check")[0] == 2
    code, out = command("upgrade", "-o", "json")
    assert code == 0
    changed = {f"{t['schema']}.{t['name']}" for t in json.loads(out)["tables"] if t["result"] == "upgraded"}
    shapes = {shape.id: shape for shape in (*released_shapes(), *evolved_shapes())}
    assert changed == {
        name.replace('"', "")
        for name, (shape, outdated) in OURS.items()
        if outdated or grown.intersection(shapes[shape].kinds)
    }
    assert command("check")[0] == 0
    assert others(full) == untouched
    assert full.admin().check().status is Status.CURRENT


def others(database: Database) -> list[tuple[Any, ...]]:
    """Everything about the tables that are not ours."""
    return database.run(
        "SELECT c.relname, a.attname, a.atttypid, pg_relation_filenode(c.oid) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relname IN ('alembic_version', 'documents', 'recent', 'web_sessions', 'cart', 'assistant_runs') "
        "OR n.nspname = 'shop' ORDER BY 1, 2"
    )


@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (["inspect"], "survey"),
        (["check"], "survey"),
        (["plan"], "survey"),
        (["upgrade", "--dry-run"], "survey"),
        (["upgrade"], "upgrade"),
        (["history"], "history"),
    ],
)
def test_json_is_valid_by_the_schemas_in_docs(
    command: Callable[..., tuple[int, str]], arguments: list[str], schema: str
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    if arguments == ["history"]:
        command("upgrade")
    _, out = command(*arguments, "-o", "json")
    file = Path(__file__).parents[2] / "docs" / "json" / f"{schema}.schema.json"
    jsonschema.validate(json.loads(out), json.loads(file.read_text()))
