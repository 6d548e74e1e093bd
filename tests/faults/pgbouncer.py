"""pgbouncer in transaction mode in front of a server, with a pool that is smaller than the number of its clients."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port, private_folder, unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

POOL = 4
CONFIGURATION = """
[databases]
* = host={host} port={server_port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
query_wait_timeout = {patience}
unix_socket_dir =
logfile = {folder}/log
pidfile = {folder}/pid
"""


def program() -> str:
    """Where pgbouncer is. Missing in CI it is an error."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        assert not os.environ.get("CI"), "pgbouncer is missing: apt-get install pgbouncer"
        pytest.skip("pgbouncer is not installed")
    return found


@contextmanager
def pgbouncer(server: Server, pool: int = POOL, patience: int = 120) -> Iterator[int]:
    """A pooler; gives its port. ``patience`` is in seconds: how long a client waits for one of ``pool`` connections."""
    command, port = program(), free_port()
    with private_folder() as folder:
        (folder / "users").write_text('"postgres" ""\n')
        configuration = folder / "pgbouncer.ini"
        settings = {"host": server.host, "server_port": server.port, "port": port, "folder": folder}
        settings |= {"pool": pool, "patience": patience}
        configuration.write_text(CONFIGURATION.format_map(settings))
        process = subprocess.Popen(
            [*unprivileged(), command, "-q", str(configuration)], cwd="/", stderr=subprocess.DEVNULL
        )
        try:
            wait_for_port(process, port)
            yield port
        finally:
            process.kill()
            process.wait()


def wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "it ended at once"
            assert time.monotonic() < deadline, "it does not listen"
        else:
            return
