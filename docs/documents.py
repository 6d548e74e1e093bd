"""The pages of what programs read: exit codes, errors, and the documents of `-o json`."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import msgspec

from storage_admin import errors
from storage_admin.cli import EXIT_CODES
from storage_admin.cli.schemas import DOCUMENTS
from storage_admin.errors import base, ecosystem, sessions, settings, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

# The documents that several commands print.
PRINTED_BY = {
    "survey": ("inspect", "plan", "check", "wait", "upgrade --dry-run", "repair --dry-run"),
    "survey-targets": tuple(f"{name} --all-targets" for name in ("inspect", "plan", "check", "upgrade --dry-run")),
    "upgrade": ("upgrade", "repair"),
    "upgrade-targets": ("upgrade --all-targets",),
    "sessions-prune-dry-run": ("sessions prune --dry-run",),
    "sessions-delete": ("sessions delete", "sessions rename"),
    "sessions-import": ("sessions import", "sessions restore"),
}
OTHERS = (
    ("one table could not be upgraded", tables),
    ("the file of settings", settings),
    ("sessions", sessions),
    ("the tools beside it", ecosystem),
)
ERRORS = """\
Everything that is raised is a `StorageAdminError`, and `storage_admin.errors` has them all; but `UpgradeInterrupted`,
which is a `KeyboardInterrupt`, and has 143 as its code after SIGTERM. The words in braces are facts of the error, which
are also its attributes: `error.table`, `error.problem`, `error.facts`. The command line prints the message and ends
with the code; with that of the tables where all of them failed in the same way, see `UpgradeFailed`.
"""
JSON = """\
With `-o json` a command prints one of these documents, with `-o yaml` the same as YAML. `format` stays 1 as long as a
program that reads today's documents can read them: fields are added, never taken away. Each has a JSON Schema
(draft 2020-12).
"""


# --- errors ------------------------------------------------------------------------------------------------


def errors_page() -> list[str]:
    """Every exit code and every error, in the order of the module."""
    codes = re.findall(r"^  (\d+)\s+(.+)$", EXIT_CODES, flags=re.MULTILINE)
    lines = ["# Exit codes and errors", "", "| exit code | means |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in codes]
    lines += ["", "[The upgrade guide](upgrade-guide.md#exit-codes) says what to do about each.", "", ERRORS]
    for title, classes in _error_sections():
        lines += [f"## {title[0].upper()}{title[1:]}", "", "| error | code | message |", "|---|---|---|"]
        for error in classes:
            message = " ".join((error.__doc__ or "").split()).replace("|", "\\|")
            lines.append(f"| `{error.__name__}` | {error.exit_code} | {_code_in_braces(message)} |")
        lines.append("")
    return lines


def _error_sections() -> Iterator[tuple[str, list[type[errors.StorageAdminError]]]]:
    """The sections of the modules, by the comments that divide them."""
    for head, module in (("the root of all", base), ("", errors), *OTHERS):
        title = head
        found: list[type[errors.StorageAdminError]] = []
        for line in inspect.getsource(module).splitlines():
            if divided := re.match(r"# --- (.+?) -+$", line):
                if found:
                    yield title, found
                title, found = divided[1], []
            elif named := re.match(r"class (\w+)\(", line):
                found.append(getattr(module, named[1]))
        yield title, found


def _code_in_braces(message: str) -> str:
    return re.sub(r"\{[^}]+\}", lambda fact: f"`{fact[0]}`", message)


# --- documents ---------------------------------------------------------------------------------------------


def json_documents_page() -> list[str]:
    """The fields of every document, and of what is in it."""
    lines = ["# JSON documents", "", JSON]
    for name, document in DOCUMENTS.items():
        schema = msgspec.json.schema(document)
        top = schema["$ref"].rpartition("/")[2]
        commands = PRINTED_BY.get(name, (name.replace("-", " "),))
        printed = ", ".join(f"`{command}`" for command in commands)
        lines += [f"## {name}", "", f"Printed by {printed}. [Its schema](json/{name}.schema.json).", ""]
        for part in (top, *(part for part in schema["$defs"] if part != top)):
            lines += _fields(part, schema["$defs"][part], top=part == top)
    return lines


def _fields(name: str, definition: dict[str, Any], *, top: bool) -> list[str]:
    head = [] if top else [f"**{name}**", ""]
    if "properties" not in definition:
        return [f"**{name}** is {_type(definition)}.", ""]
    optional = definition["properties"].keys() - set(definition.get("required", ()))
    lines = [*head, "| field | is |", "|---|---|"]
    for field, schema in definition["properties"].items():
        lines.append(f"| `{field}` | {_type(schema)}{', or is left out' if field in optional else ''} |")
    return [*lines, ""]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {_type(values)}" if isinstance(values, dict) and values else "object"
    return str(schema.get("type", "anything"))
