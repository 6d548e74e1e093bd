"""The page of the Python API, from signatures and docstrings as they stand in the source."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "storage_admin"
SECTIONS = {
    "The schema of the tables": (PACKAGE, ("StorageAdmin", "upgrade_schema", "Patience")),
    "What it answers": (
        PACKAGE,
        ("Survey", "Plan", "Status", "UpgradeReport", "Outcome", "Revision", "Diagnosis", "Finding", "DatabaseInfo"),
    ),
    "What these are made of": (f"{PACKAGE}.schema", ("TableName",)),
    "The storage classes": (PACKAGE, ("PostgresStorage", "SqliteStorage", "MySQLStorage", "SingleStoreStorage")),
    "The catalogue": (PACKAGE, ("Catalog", "load_catalog", "TableRef")),
    "The sessions": (f"{PACKAGE}.sessions", ("Sessions", "Filter", "Old", "OnConflict", "Sort")),
    "Beside Alembic": (
        f"{PACKAGE}.integrations.alembic",
        ("include_object", "without_session_tables", "beside_session_tables"),
    ),
}
INTRODUCTION = """\
What can be imported from the modules that are named here; all else may change without a word. Errors have
[a page of their own](errors.md). `py.typed` is there: a type checker sees all of it.
"""

WIDTH = 80  # characters of a line of code on the page
PROPERTIES = {"property", "cached_property"}


def python_api_page() -> list[str]:
    """Every public name: how it is called, what it does, what it raises."""
    lines = ["# Python API", "", INTRODUCTION]
    told: dict[type, str] = {}
    for title, home, names in sections():
        lines += [f"## {title}", "", f"From `{home}`.", ""]
        for name in names:
            lines += _entry(name, getattr(importlib.import_module(home), name), told)
    return lines


def sections() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Title, module and names. What no section names comes last in that of its module; errors are left out."""
    for title, (home, names) in SECTIONS.items():
        rest: tuple[str, ...] = ()
        if title in ("The catalogue", "The sessions"):
            rest = tuple(name for name in _public(home) if not any(name in named for _, named in SECTIONS.values()))
        yield title, home, (*names, *rest)


def _public(home: str) -> Iterator[str]:
    module = importlib.import_module(home)
    for name in module.__all__:
        value = getattr(module, name)
        if not (isinstance(value, str) or (inspect.isclass(value) and issubclass(value, Exception))):
            yield name


def _entry(name: str, value: Any, told: dict[type, str]) -> list[str]:
    lines = [f"### {name}", ""]
    value = inspect.unwrap(value)  # of its cache
    if inspect.isclass(value):
        return [*lines, *_class(name, value, told)]
    if inspect.isfunction(value):
        return [*lines, *_code(f"{name}{_signature(_parsed(value))}"), *_prose(value)]
    of_a_type = repr(value).replace("typing.", "").replace("'", '"')
    return [*lines, *_code(f"{name} = {of_a_type}")]


def _class(name: str, value: type, told: dict[type, str]) -> list[str]:
    """A class and its methods. What it inherits is told once: ``told`` says where."""
    functions = [(owner, node) for owner, node in _functions(value) if not node.name.startswith("_")]
    lines = [*_code(_made(name, value)), *_prose(value)]
    if elsewhere := sorted({told[owner] for owner, _ in functions if owner in told}):
        shown = ", ".join(f"[{other}](#{other.lower()})" for other in elsewhere)
        lines += [f"All else is as in {shown}.", ""]
    for owner, node in functions:
        if owner not in told:
            lines += _method(name, node)
    told.update((owner, name) for owner, _ in functions if owner not in told)
    return lines


def _made(name: str, value: type) -> str:
    """How an object of a class is made: its constructor, its fields, or the members of an enumeration."""
    body = _parsed(value).body
    if issubclass(value, Enum):
        members = [ast.unparse(node) for node in body if isinstance(node, ast.Assign)]
        return "\n    ".join([name, *members])
    own = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    if own:
        return f"{name}{_signature(own[0])}"
    fields = [ast.unparse(node) for node in body if isinstance(node, ast.AnnAssign) and _shown(node.target)]
    fields = [field for field in fields if "ClassVar" not in field]
    return _call(name, fields) if fields else name


def _method(name: str, node: ast.FunctionDef) -> list[str]:
    if any(ast.unparse(decorator) in PROPERTIES for decorator in node.decorator_list):
        call = f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
    else:
        call = f"{node.name}{_signature(node)}"
    return [f"#### {name}.{node.name}", "", *_code(call), *_text(ast.get_docstring(node) or "")]


def _functions(value: type) -> Iterator[tuple[type, ast.FunctionDef]]:
    """The methods of a class and of those above it in this package, each once."""
    seen: set[str] = set()
    for owner in value.__mro__:
        if not owner.__module__.startswith(PACKAGE):
            continue
        for node in _parsed(owner).body:
            if isinstance(node, ast.FunctionDef) and node.name not in seen:
                seen.add(node.name)
                yield owner, node


def _parsed(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _shown(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and not target.id.startswith("_")


def _signature(function: ast.FunctionDef) -> str:
    arguments = [part for part in _arguments(function.args) if part not in ("self", "cls")]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns and function.name != "__init__" else ""
    return _call("", arguments) + returns


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(plain, defaults, strict=True):
        yield _argument(argument, default)
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _call(name: str, arguments: list[str]) -> str:
    short = f"{name}({', '.join(arguments)})"
    return short if len(short) <= WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in arguments) + ")"


def _code(text: str) -> list[str]:
    return ["```python", *text.splitlines(), "```", ""]


def _prose(value: Any) -> list[str]:
    return _text(inspect.getdoc(value) or "")


def _text(docstring: str) -> list[str]:
    """A docstring as Markdown: what it raises in bold, code as code."""
    text = inspect.cleandoc(docstring).replace("``", "`")
    before, raises, after = text.partition("\nRaises:\n")
    lines = before.strip().splitlines()
    if raises:
        lines += ["", f"**Raises** {' '.join(after.split())}"]
    return [*lines, ""] if lines else []
