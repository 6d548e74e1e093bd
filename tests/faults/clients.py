"""Client processes: commands, racers that start at once, and one that is killed on its way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 120


class Ended(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: str, environment: dict[str, str] | None = None) -> Ended:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "storage_admin", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=PATIENCE,
        env=os.environ | (environment or {}),
    )
    return Ended(done.returncode, done.stdout, done.stderr)


# All modules are loaded before the word "ready", so that what follows is the upgrade and nothing else.
UPGRADER = """
import sys
from storage_admin import admin, render, storage
from storage_admin.cli import run
import psycopg, sqlalchemy.dialects.postgresql.psycopg
print("ready", flush=True)
sys.stdin.readline()
sys.exit(run(["upgrade", *sys.argv[1:]]))
"""


class Upgrader:
    """A process that is about to run `storage-admin upgrade`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", UPGRADER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> Ended:
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out, err)


@contextmanager
def upgrading(*arguments: str) -> Iterator[Upgrader]:
    """An upgrade that is on its way, and is over at the end, whatever happens."""
    upgrader = Upgrader(*arguments)
    try:
        upgrader.go()
        yield upgrader
    finally:
        if upgrader.running():
            upgrader.kill()


RACER = """
import sys
from storage_admin import StorageAdmin, StorageAdminError
url, *tables = sys.argv[1:]
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(sum(outcome.changed for outcome in StorageAdmin(url).upgrade(tables or None).outcomes), flush=True)
    except StorageAdminError as error:
        print(f"{type(error).__name__}: {error}".replace("\\n", " "), flush=True)
"""


class Racers:
    """Processes that upgrade at the same moment, each time with a StorageAdmin and connections of their own."""

    def __init__(self, count: int, *arguments: str) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for _ in range(count)
        ]
        assert self._lines() == ["ready"] * count

    def _lines(self) -> list[str]:
        return [process.stdout.readline().strip() for process in self.processes if process.stdout]

    def race(self) -> list[str]:
        """How many tables each one changed, or its error."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        return self._lines()

    def end(self) -> None:
        for process in self.processes:
            process.communicate(timeout=PATIENCE)


@contextmanager
def racers(count: int, *arguments: str) -> Iterator[Racers]:
    started = Racers(count, *arguments)
    try:
        yield started
    finally:
        started.end()


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for something that the outside does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.002)
