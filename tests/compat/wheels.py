"""The releases of phidata and Agno, from PyPI, each in a folder that is on the path of a process of its own.

`python -m tests.compat.wheels` fetches them all; a test fetches what it lacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[2] / ".cache" / "releases"
CLIENT = Path(__file__).with_name("client.py")

NEWEST = "agno==1.8.4"
RELEASES = [
    "phidata==2.5.0",
    "phidata==2.5.34",
    "phidata==2.7.10",
    "agno==0.1.7",
    "agno==1.0.0",
    "agno==1.1.10",
    "agno==1.1.11",
    "agno==1.1.13",
    "agno==1.1.17",
    "agno==1.2.0",
    "agno==1.7.4",
    "agno==1.7.6",
    NEWEST,
]


def installed(release: str) -> Path:
    """The folder of a release (``agno==1.8.4``), fetched once. What it needs is that of the tests.

    It is no archive on the path, of which every process would compile anew what it imports.
    """
    found = CACHE / release.replace("==", "-")
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            options = ["--only-binary", ":all:", "--no-compile", "--target", f"{folder}/new"]
            subprocess.run([*command, *options, release], check=True)
            with suppress(OSError):  # somebody else was faster
                Path(folder, "new").rename(found)
    return found


def run_client(release: str, jobs: list[dict[str, Any]], home: Path) -> list[Any]:
    """Let the storage classes of a release do some jobs (see client.py); return one answer for each."""
    answers: list[Any] = json.loads(
        run_script(release, CLIENT.name, [], home, json.dumps(jobs)).rpartition("\n=== answers\n")[2]
    )
    return answers


def run_script(release: str, script: str, arguments: list[str], home: Path, told: str = "") -> str:
    """Run a script of this folder with a release on its path; return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installed(release)),
        "HOME": str(home),
        "AGNO_TELEMETRY": "false",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, str(CLIENT.with_name(script)), *arguments]
    done = subprocess.run(command, input=told, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{release}: {done.stderr[-3000:]}"
    return done.stdout


if __name__ == "__main__":
    for each in RELEASES:
        installed(each)
