"""Whole processes with the operating system's own accounting, in pairs; round trips on the wire."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage_admin import Status, StorageAdmin

if TYPE_CHECKING:
    from benchmarks.server import Server


# A package that is installed is compiled; this checkout is so after a first run, unless that is forbidden.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    peak_mb: float


def run(command: list[str]) -> Run:
    """Run a command to its end; it must succeed."""
    full = [beside_python(command[0]), *command[1:]]
    started = time.perf_counter()
    process = subprocess.Popen(full, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{full} exited {process.returncode}: {complaint.decode()[-2000:]}")
    return Run(seconds, usage.ru_maxrss / 1024)


def beside_python(command: str) -> str:
    """The path of a command of this environment; an absolute path stays as it is."""
    return str(Path(sys.executable).parent / command)


def paired(ours: list[str], theirs: list[str], runs: int) -> list[tuple[Run, Run]]:
    """The two in turn, so that both meet the same moods of the machine; one pair to warm up."""
    run(ours), run(theirs)
    return [(run(ours), run(theirs)) for _ in range(runs)]


def round_trips(server: Server, url: str) -> int:
    """How often a check of one table waits for the server, on a connection that is open already."""
    import sqlalchemy as sa

    with socket.create_server(("127.0.0.1", 0)) as listener:
        counted = [0]
        threading.Thread(target=_relay, args=(listener, server.port, counted), daemon=True).start()
        through = url.replace(f":{server.port}/", f":{listener.getsockname()[1]}/")
        engine = sa.create_engine(through, pool_reset_on_return=None, isolation_level="AUTOCOMMIT")
        admin = StorageAdmin(engine)
        admin.check(["ai.sessions_0"])
        counted[0] = 0
        assert admin.check(["ai.sessions_0"]).status is Status.CURRENT
        trips = counted[0]
        engine.dispose()
    return trips


def _relay(listener: socket.socket, port: int, counted: list[int]) -> None:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", port))

    def back() -> None:
        while data := server.recv(65536):
            asked[0] = False
            client.sendall(data)

    asked = [False]
    threading.Thread(target=back, daemon=True).start()
    while data := client.recv(65536):
        if not asked[0]:
            counted[0] += 1
        asked[0] = True
        server.sendall(data)
    server.close()
