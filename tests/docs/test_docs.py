"""What is written about the code is true: generated pages are current, examples run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from docs.generate import pages
from storage_admin.cli import cli
from storage_admin.cli.reference import commands
from storage_admin.cli.targets import SEVERITY

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "versions").glob("*.md")]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def test_generated_pages_are_what_the_code_would_write() -> None:
    stale = [
        str(file.relative_to(ROOT)) for file, text in pages().items() if not file.exists() or file.read_text() != text
    ]
    assert not stale, "run `make docs`"


def test_the_manual_page_is_well_formed_and_knows_every_command_and_option() -> None:
    page = (ROOT / "docs" / "storage-admin.1").read_text()
    said = page.replace("\\-", "-")
    for name, command in commands(cli):
        assert f"\n.SS storage-admin {name}" in said
        assert all(option in said for param in command.params for option in param.opts if option.startswith("--"))
    for section in ("EXAMPLES", "SEE ALSO", "FILES"):
        assert f"\n.SH {section}\n" in page
    assert page.count(r"\fB\-\-db\-url\fR \fIURL\fR") == 1  # once for all commands
    lines = [line for line in page.splitlines() if line.startswith((".", "'"))]
    assert {line.split(" ")[0] for line in lines} <= {'.\\"', ".TH", ".SH", ".SS", ".PP", ".TP", ".B"}
    if shutil.which("groff") is not None:
        reader = ["groff", "-man", "-ww", "-Tutf8", "-z"]
        done = subprocess.run(reader, input=page, capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_the_page_about_settings_names_what_there_is() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert f"from fine to grave: {', '.join(map(str, SEVERITY))}." in page
    said = set(re.findall(r"`(storage_admin)?\.(\w+)`", page))
    assert {name for _, name in said} >= set(re.findall(r"traced\.set\((\w+)=", _source("admin", "sessions")))
    events = set(re.findall(r'event="(\w+)"', _source("cli")))
    assert all(f"`{event}`" in page for event in events)


def _source(*rooms: str) -> str:
    modules = [path for path in (ROOT / "storage_admin").rglob("*.py") if path.stem in rooms or path.parts[-2] in rooms]
    return "\n".join(path.read_text() for path in modules)


@every_page
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@every_page
def test_commands_in_examples_exist_with_these_options(page: Path) -> None:
    for block in re.findall(r"```(?:console|sh|bash|crontab)\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if "storage-admin " in line else []
            if "storage-admin" not in words:
                continue
            name, *arguments = words[words.index("storage-admin") + 1 :]
            if name.startswith("-"):
                continue
            command = cli.commands[name]
            if isinstance(command, click.Group):
                command, *arguments = command.commands[arguments[0]], *arguments[1:]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            used = {word.partition("=")[0] for word in arguments if word.startswith("-") and word != "-"}
            assert used <= known, line


def test_the_changelog_knows_this_version() -> None:
    from storage_admin import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_each_rule_of_the_doctor_has_a_section_and_each_finding_is_of_a_rule() -> None:
    import ast

    from storage_admin.doctor import RULES

    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert re.findall(r"^### (\S+)$", page, flags=re.MULTILINE) == list(RULES)
    used = set()
    for module in (ROOT / "storage_admin" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Finding", "Check"):
                used.add(ast.unparse(node.args[0]).strip("'"))
    assert used - {"check.rule"} == set(RULES)
