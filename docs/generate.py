"""Writes what can be written from the code: the pages of the reference, and the JSON Schemas.

`make docs` runs it; tests/docs proves that what is committed is what it would write.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click
import msgspec

from docs import configuration, manual
from docs.documents import errors_page, json_documents_page
from docs.python_api import python_api_page
from storage_admin.catalog import Catalog, load_catalog
from storage_admin.cli import cli
from storage_admin.cli.reference import arguments, commands, value_of
from storage_admin.cli.schemas import DOCUMENTS
from storage_admin.dialects import DIALECTS
from storage_admin.settings.keys import Settings

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py; change the code, then run `make docs`. -->\n"


def pages() -> dict[Path, str]:
    """Every generated file, with its content."""
    found = {
        DOCS / "commands.md": commands_page(),
        DOCS / "errors.md": _page(errors_page()),
        DOCS / "json-documents.md": _page(json_documents_page()),
        DOCS / "python-api.md": _page(python_api_page()),
        DOCS / "versions.md": versions_page(load_catalog()),
        DOCS / "configuration.md": configuration.page(),
        DOCS / "storage-admin.1": manual.page(),
    }
    for name, document in {**DOCUMENTS, "settings": Settings}.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(document)}
        found[DOCS / "json" / f"{name}.schema.json"] = json.dumps(schema, indent=2) + "\n"
    return found


def _page(lines: list[str]) -> str:
    return "\n".join([NOTE, *lines]).rstrip() + "\n"


# --- versions ----------------------------------------------------------------------------------------------


def versions_page(catalog: Catalog) -> str:
    """The timeline, and the newest definition of each kind."""
    lines = [
        NOTE,
        "# Versions",
        "",
        "One timeline for all kinds. A version is one file in [`versions/`](../versions/README.md).",
        "`storage-admin versions` lists them too; `storage-admin versions N` shows the tables of version N.",
        "",
        "| version | first release | kinds | what changed |",
        "|---|---|---|---|",
        *(f"| {v.number} | {v.released} | {', '.join(v.changed)} | {v.summary} |" for v in catalog.versions),
        "",
        f"## The tables at version {catalog.head}",
    ]
    for kind in catalog.kinds:
        lines += ["", f"### {kind}", "", *_kind_table(catalog, kind)]
        columns, indexes = catalog.retired([kind], catalog.head)
        newest = catalog.definitions(kind)[-1][1]
        gone = sorted(columns - newest.column_names)
        gone += sorted(f"the index on {', '.join(i)}" for i in indexes - {i.columns for i in newest.indexes})
        if gone:
            lines += ["", f"Retired, and kept where a table has them: {', '.join(gone)}."]
    return "\n".join(lines) + "\n"


def _kind_table(catalog: Catalog, kind: str) -> list[str]:
    newest = catalog.definitions(kind)[-1][1]
    indexed = {index.columns[0] for index in newest.indexes}
    titles = [dialect.title for dialect in DIALECTS.values()]
    lines = [f"| column | {' | '.join(titles)} | key | default (PostgreSQL) |", "|---" * (len(titles) + 3) + "|"]
    for column in newest.columns:
        types = [dialect.types[column.type].sql for dialect in DIALECTS.values()]
        key = "primary key" if column.primary_key else "index" if column.name in indexed else ""
        lines.append(f"| {column.name} | {' | '.join(types)} | {key} | {column.default or ''} |")
    return lines


# --- commands ----------------------------------------------------------------------------------------------


def commands_page() -> str:
    """What every command does, takes and prints, from the commands themselves."""
    lines = [NOTE, "# Commands", "", *_text(cli)]
    for name, command in commands(cli):
        if isinstance(command, click.Group):
            lines += ["", f"## {name}", "", *_text(command)]
            continue
        usage = " ".join(["storage-admin", name, "[OPTIONS]", *arguments(command)])
        lines += ["", f"## {name}", "", "```text", usage, "```", "", *_text(command), *_options(command)]
    return "\n".join(lines) + "\n"


def _text(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "")
    if command.epilog:
        title, _, codes = inspect.cleandoc(command.epilog.replace("\b\n", "")).partition("\n")
        text += f"\n\n{title}\n\n```text\n{codes}\n```"
    return text.splitlines()


def _options(command: click.Command) -> list[str]:
    lines = ["", "| option | | default |", "|---|---|---|"]
    for option in command.params:
        if isinstance(option, click.Option):
            value = value_of(option).replace("|", "\\|")
            default = "" if option.is_flag or not isinstance(option.default, (int, float, str)) else str(option.default)
            lines.append(f"| `{', '.join(option.opts)}` {value} | {option.help} | {default} |")
    return lines


def main() -> None:
    """Write all pages."""
    for file, text in pages().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
