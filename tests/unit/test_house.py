"""The house of docs/design.md: imports point down, the core is pure, one module issues DDL."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import storage_admin

PACKAGE = Path(storage_admin.__file__).parent

# From the bottom to the top; a module imports from its own floor and from those below. `errors`, `lazy`, `toml` and
# `version` stand under everything.
FLOORS = [
    {"errors", "lazy", "toml", "version"},
    {"atomic", "schema"},
    {"changes", "dialects"},
    {"alters", "texts"},
    {"catalog"},
    {"compare", "naming"},
    {"messages"},
    {"files", "operations"},
    {"render", "database", "tracing"},
    {"access", "inspector", "history", "locking", "reports", "settings"},
    {"batch", "builds", "layouts", "lockfile", "notes", "recording"},
    {"executor", "discovery", "upgrading", "waiting"},
    {"doctor"},
    {"admin"},
    {"demo", "storage"},
    {"integrations", "sessions"},
    {"overview"},
    {"cli", "__main__", "__init__"},
]
PURE = {"errors", "schema", "changes", "dialects", "catalog", "compare", "naming"}
ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

modules = sorted(PACKAGE.rglob("*.py"))
every_module = pytest.mark.parametrize("module", modules, ids=lambda path: str(path.relative_to(PACKAGE)))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(module: Path, *, typing_too: bool) -> set[str]:
    """The dotted names that a module imports, without those under TYPE_CHECKING unless asked."""
    tree = ast.parse(module.read_text())
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if not typing_too and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(id(child) for child in ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms_imported(module: Path) -> set[str]:
    names = (name.split(".") for name in imported(module, typing_too=True) if name.startswith("storage_admin."))
    return {parts[1] for parts in names if parts[1] in ROOMS}


def test_every_room_of_the_house_is_on_a_floor() -> None:
    assert {room_of(module) for module in modules} == set(ROOMS)


@every_module
def test_imports_point_down(module: Path) -> None:
    if module.name == "__init__.py" and module.parent == PACKAGE:
        return  # the public names come from everywhere, lazily
    above = {room for room in rooms_imported(module) if ROOMS[room] > ROOMS[room_of(module)]}
    assert not above


@every_module
def test_the_core_knows_no_database_library(module: Path) -> None:
    if room_of(module) in PURE:
        outside = {name.split(".")[0] for name in imported(module, typing_too=True)}
        assert not outside & {"sqlalchemy", "alembic", "psycopg", "click"}


@every_module
def test_the_core_knows_no_kind_by_name(module: Path) -> None:
    if room_of(module) in ("cli", "demo", "errors", "storage"):
        return  # examples in help texts and messages; and the one room that knows what a row means
    texts = {node.value for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Constant)}
    assert not texts & {"agent", "team", "workflow", "workflow_v2", "session_id"}


@every_module
def test_no_module_is_too_big_and_no_function_too_long(module: Path) -> None:
    source = module.read_text()
    assert len(source.splitlines()) <= 420
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno - len((ast.get_docstring(node) or "").splitlines()) <= 45


def test_only_the_executor_sends_what_was_rendered() -> None:
    users = {room_of(m) for m in modules if any("render.render" in name for name in imported(m, typing_too=False))}
    assert users <= {"executor", "access", "overview", "cli"}  # to run it, to hand it to the owner, to show it
    assert any("transaction" in name for name in imported(PACKAGE / "executor.py", typing_too=False))
    others = [m for m in modules if room_of(m) not in ("executor", "database", "sessions")]
    assert not [m for m in others if "storage_admin.database.transaction" in imported(m, typing_too=False)]


def test_the_public_names_are_sorted_documented_and_importable() -> None:
    assert sorted(storage_admin.__all__) == storage_admin.__all__
    for name in storage_admin.__all__:
        assert getattr(storage_admin, name).__doc__ or name == "__version__"
    assert set(dir(storage_admin)) == set(storage_admin.__all__)


UNSEEN = {"sqlalchemy", "alembic", "psycopg", "tabulate", "yaml", "msgspec", "opentelemetry"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "import storage_admin.cli",
            {"sqlalchemy", "alembic", "psycopg", "tabulate", "yaml", "msgspec", "opentelemetry"},
        ),
        ("from storage_admin import StorageAdmin", {"opentelemetry", "alembic", "tabulate", "yaml", "click"}),
        ("from storage_admin import PostgresStorage, upgrade_schema", {"alembic", "tabulate", "yaml", "click", "agno"}),
        ("from storage_admin import compare, catalog", {"sqlalchemy", "alembic", "click"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code: str, unwanted: set[str]) -> None:
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())
