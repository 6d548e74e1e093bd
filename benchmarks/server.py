"""A PostgreSQL of our own for a benchmark: private port, private folder, stopped at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from typing_extensions import Self

from tests.servers import pg_ctl

if TYPE_CHECKING:
    from types import TracebackType

WRAPPER = Path(__file__).parents[1] / "tests" / "pg_ctl_any"


class Server:
    """Started on entry, stopped and removed on exit."""

    def __enter__(self) -> Self:
        """Make the cluster and start it."""
        os.environ["PG_CTL"] = pg_ctl()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = f"-p {self.port} -k {tempfile.gettempdir()} -c max_locks_per_transaction=512 -c shared_buffers=256MB"
        self._control("initdb", "-o", "--auth=trust --username=postgres --no-sync")
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its folder."""
        self._control("stop", "-m", "fast")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, name: str) -> str:
        """Create a database; return its URL."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def dsn(self, name: str) -> str:
        """How libpq finds a database."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={name}"

    def psql(self, name: str) -> list[str]:
        """The command that opens a database with psql: the one beside the server, or an installed one."""
        beside = Path(os.environ["PG_CTL"]).parent / "psql"
        program = str(beside) if beside.exists() else shutil.which("psql")
        if program is None:
            raise SystemExit("psql is needed for this benchmark: apt-get install postgresql-client")
        return [program, "-X", "-d", self.dsn(name)]

    def _control(self, *arguments: str) -> None:
        command = [str(WRAPPER), *arguments, "-D", str(self.folder / "data")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
