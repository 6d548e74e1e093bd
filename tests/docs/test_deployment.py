"""What is shown for a deployment is valid to those who read it, and each command in it is one of ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from yamllint import linter
from yamllint.config import YamlLintConfig

from storage_admin.cli import cli
from storage_admin.sessions import Old, Sessions
from storage_admin.toml import loads
from tests.conftest import Database
from tests.sessions.tables import agents, insert

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CHART = EXAMPLES / "helm"
UNIT = EXAMPLES / "systemd" / "storage-admin-prune.service"
KUBERNETES = "1.34"
MANIFESTS = [*sorted((EXAMPLES / "kubernetes").glob("*.yaml")), CHART / "templates" / "upgrade.yaml"]
every_manifest = pytest.mark.parametrize("file", MANIFESTS, ids=lambda path: path.stem)


def parsed(words: list[str]) -> click.Context:
    """What our commands make of some words; raises where an option, a command or a value does not exist."""
    group: click.Group = cli
    parent = click.Context(cli, info_name="storage-admin")
    while True:
        name, *words = words
        command = group.get_command(parent, name)
        if command is None:
            raise click.UsageError(f"no such command: {name}")
        if not isinstance(command, click.Group):
            return command.make_context(name, words, parent=parent)
        group, parent = command, click.Context(command, info_name=name, parent=parent)


def commands_of(text: str) -> Iterator[list[str]]:
    """The words after each `storage-admin` in a shell's script."""
    for line in re.split(r"\n|\|\||&&|;", text):
        words = shlex.split(line)
        programs = [place for place, word in enumerate(words) if Path(word).name == "storage-admin"]
        if programs:
            yield words[programs[0] + 1 :]


def rendered(template: str) -> str:
    """A template of Helm that only names values, as `helm template agents examples/helm` gives it."""
    values = {
        "Release": {"Name": "agents", "Namespace": "default", "Service": "Helm"},
        "Chart": {"Name": yaml.safe_load((CHART / "Chart.yaml").read_text())["name"]},
        "Values": yaml.safe_load((CHART / "values.yaml").read_text()),
    }

    def value(named: re.Match[str]) -> str:
        found: Any = values
        for name in named["path"].split("."):
            found = found[name]
        return json.dumps(found) if named["json"] else str(found)

    text = re.sub(r"\{\{ \.(?P<path>[\w.]+)(?P<json> \| toJson)? \}\}", value, template)
    assert "{{" not in text
    return text


def manifest(file: Path) -> Any:
    text = file.read_text()
    return yaml.safe_load(rendered(text) if file.is_relative_to(CHART) else text)


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """All containers in a manifest, at any depth."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if name in ("containers", "initContainers"):
            yield from inner
        yield from containers(inner)


def test_yaml_is_written_as_yamllint_asks() -> None:
    rules = YamlLintConfig(file=str(ROOT / ".yamllint"))
    files = [ROOT / "mkdocs.yml", *(file for file in EXAMPLES.rglob("*.y*ml") if file.parent.name != "templates")]
    assert len(files) >= 6
    assert not [f"{file}: {found}" for file in files for found in linter.run(file.read_text(), rules)]


def test_the_compose_file_is_valid_and_runs_our_commands() -> None:
    compose = yaml.safe_load((EXAMPLES / "docker-compose.yml").read_text())
    jsonschema.validate(compose, get_builtin_schema("vendor.compose-spec"))
    services = compose["services"]
    ours = [service for service in services.values() if service["image"] == "storage-admin"]
    assert [parsed(service["command"]).command_path for service in ours] == [
        "storage-admin upgrade",
        "storage-admin sessions stats",
    ]
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= services.keys()
        if build := service.get("build"):
            assert (EXAMPLES / build["context"] / build["dockerfile"]).exists()
    assert (services["pgvector"]["image"], services["pgvector"]["ports"]) == (
        "agno/pgvector:16",
        ["127.0.0.1:5532:5432"],
    )


def test_the_image_has_extras_that_exist_and_our_program() -> None:
    lines = (EXAMPLES / "Dockerfile").read_text()
    extras = re.findall(r"'/source\[([\w,]+)\]'", lines)[0].split(",")
    project = loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= project["optional-dependencies"].keys()
    assert re.findall(r'ENTRYPOINT \["([\w-]+)"\]', lines) == list(project["scripts"])


@every_manifest
def test_kubernetes_takes_the_manifests(file: Path) -> None:
    kubernetes_validate.validate(manifest(file), KUBERNETES, strict=True)


@every_manifest
def test_the_containers_run_our_commands_and_nothing_else(file: Path) -> None:
    ours = [found for found in containers(manifest(file)) if "storage-admin" in found["image"]]
    assert ours
    for container in ours:
        given = list(commands_of(" ".join(container["args"]))) if "command" in container else [container["args"]]
        assert given
        for words in given:
            parsed(words)
        assert container["env"][0]["name"] == "STORAGE_ADMIN_DB_URL"
        assert "secretKeyRef" in container["env"][0]["valueFrom"]  # a URL has a password in it


def test_helm_runs_the_job_before_a_release() -> None:
    job = manifest(CHART / "templates" / "upgrade.yaml")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    if helm := shutil.which("helm"):
        done = subprocess.run([helm, "template", "agents", CHART], capture_output=True, text=True, check=True)
        assert yaml.safe_load(done.stdout) == job


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    unit = UNIT.read_text()
    program = "/opt/storage-admin/bin/storage-admin"
    [started] = re.findall(r"^ExecStart=(.+)$", unit, flags=re.MULTILINE)
    shell, flag, script = shlex.split(started.replace("$$", "$").replace("%%", "%"))
    assert (shell, flag) == ("/bin/sh", "-c")
    [words] = commands_of(script)
    assert parsed(words).command_path == "storage-admin sessions prune"
    assert program in script
    assert "SuccessExitStatus=5" in unit  # some were held by others
    timer = ConfigParser(interpolation=None)
    timer.read(UNIT.with_suffix(".timer"))
    assert timer["Install"]["WantedBy"] == "timers.target"
    if analyze := shutil.which("systemd-analyze"):
        shutil.copytree(UNIT.parent, tmp_path / "units")
        units = map(str, (tmp_path / "units").iterdir())
        done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def scheduled() -> Iterator[Any]:
    """The shell's script of each scheduled prune, with a name of its own."""
    [started] = re.findall(r"^ExecStart=(.+)$", UNIT.read_text(), flags=re.MULTILINE)
    *_, script = shlex.split(started.replace("$$", "$").replace("%%", "%"))
    yield pytest.param(script, id="systemd")
    [container] = containers(manifest(EXAMPLES / "kubernetes" / "prune.yaml"))
    yield pytest.param(" ".join(container["args"]), id="kubernetes")
    [line] = re.findall(r"^15 3 \* \* \* (.+)$", (ROOT / "docs" / "retention.md").read_text(), flags=re.MULTILINE)
    yield pytest.param(line.replace("\\%", "%"), id="cron")


@pytest.mark.parametrize("script", list(scheduled()))
def test_a_scheduled_prune_goes_on_with_what_was_cut_off_and_else_has_a_name_of_its_own(
    script: str, sqlite: Database, tmp_path: Path
) -> None:
    agents(sqlite, "s1", updated_at=5)
    folder = tmp_path / "archive"
    folder.mkdir()
    script = re.sub(r"(/opt/[\w/-]+/)?storage-admin(?= sessions)", f"{sys.executable} -m storage_admin", script)
    script = re.sub(r"/(srv/)?archive\b", str(folder), script)
    environment = os.environ | {"STORAGE_ADMIN_DB_URL": sqlite.url}

    def run() -> set[str]:
        command = ["/bin/sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        assert done.returncode == 0, done
        return {file.name for file in folder.iterdir() if not file.name.endswith(".json")}

    with pytest.raises(KeyboardInterrupt):
        Sessions(sqlite.url).prune(Old(1_000), archive=folder / "2026-01-31T031500.jsonl.zst", told=interrupt)
    assert run() == {"2026-01-31T031500.jsonl.zst"}
    insert(sqlite, "sessions", {"session_id": "s2", "updated_at": 5})
    [new] = run() - {"2026-01-31T031500.jsonl.zst"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}\.jsonl\.zst", new)
    assert sqlite.run("SELECT count(*) FROM sessions") == [(0,)]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("words", ["upgrade --no-such", "prune", "sessions prune --older-than", "wait --timeout soon"])
def test_a_command_that_does_not_exist_would_be_noticed(words: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(words.split())
