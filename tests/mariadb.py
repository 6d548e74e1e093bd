"""A MariaDB or MySQL to start: the installed one, or a given program, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CLIENT
from typing_extensions import Self

from tests.lacking import needed
from tests.servers import STARTS, free_port, private_folder, unprivileged

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 60
SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")


def mariadbd() -> str | None:
    """The path of the server program (MARIADBD, or an installed one), None where there is none."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return os.environ.get("MARIADBD") or shutil.which("mariadbd", path=folders)


def required() -> str:
    """The path of the server program; where there is none, a test is skipped, but not in CI."""
    return needed(mariadbd(), "no MariaDB: apt-get install mariadb-server-core, or set MARIADBD")


class MariaServer:
    """A server with a port and a folder of its own, killed and removed at the end.

    ``program`` may be a mysqld of MySQL too, whose data folder it makes itself; ``settings`` are options of its command
    line. The account is root, without a password.
    """

    host = "127.0.0.1"
    user = "root"

    def __init__(self, *settings: str, program: str | None = None) -> None:
        self.program = program or required()
        # What a packaged server has in its settings, and what makes a server of a few seconds fast.
        fast = ("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--max-connections=300")
        self.settings = ("--character-set-server=utf8mb4", *fast, *settings)
        self.port = 0

    def __enter__(self) -> Self:
        self._private = private_folder()
        self.folder = self._private.__enter__()
        self.datadir = self.folder / "data"
        self.logfile = self.folder / "log"
        try:
            self._create()
            self._start()
        except BaseException:
            self._private.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.kill()
            self._process.wait()
        finally:
            self._private.__exit__(None, None, None)

    def _create(self) -> None:
        if self._is_mysql():
            self._quietly([self.program, "--no-defaults", "--initialize-insecure", f"--datadir={self.datadir}"])
            return
        installer = shutil.which("mariadb-install-db", path=f"{Path(self.program).parent}:/usr/bin:/usr/local/bin")
        options = ("--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db")
        self._quietly([installer or "mariadb-install-db", *options, f"--datadir={self.datadir}"])

    def _quietly(self, command: list[str]) -> None:
        done = subprocess.run(
            [*unprivileged(), *command], cwd="/", capture_output=True, text=True, check=False, env=self._environment()
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _start(self) -> None:
        for attempt in range(STARTS):
            self.port = free_port()
            self._process = subprocess.Popen(
                [*unprivileged(), self.program, "--no-defaults", *self._options()],
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
            )
            if self._answers():
                return
            self._process.kill()
            self._process.wait()
            if attempt == STARTS - 1:  # before that, somebody else may have taken the port
                raise RuntimeError(self.log())

    def _environment(self) -> dict[str, str]:
        # A server that starts removes the temporary tables of every other one with the same folder for them.
        return os.environ | {"TMPDIR": str(self.folder)}

    def _options(self) -> Sequence[str]:
        files = (f"--datadir={self.datadir}", f"--socket={self.folder}/sock", f"--pid-file={self.folder}/pid")
        address = (f"--bind-address={self.host}", f"--port={self.port}")
        # A MySQL that resolves no names knows nobody from 127.0.0.1: its root is one of localhost.
        names = () if self._is_mysql() else ("--skip-name-resolve",)
        return (*files, *address, *names, f"--log-error={self.logfile}", *self.settings)

    def _is_mysql(self) -> bool:
        return Path(self.program).name == "mysqld"

    def _answers(self) -> bool:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.run("SELECT 1")
            except pymysql.err.OperationalError:
                time.sleep(0.02)  # there is no event to wait for: a port that is not yet open tells nobody
            else:
                return True
        return False

    def connect(self, name: str | None = None, user: str = user) -> pymysql.connections.Connection[Any]:
        """A connection in autocommit mode that takes several statements at once."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=user,
            database=name,
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            charset="utf8mb4",
        )

    def run(self, statements: str, parameters: Any = None, name: str | None = None) -> list[tuple[Any, ...]]:
        """Send statements; the rows of the last one."""
        with self.connect(name) as connection:
            return rows(connection, statements, parameters)

    def url(self, name: str, user: str = user) -> str:
        return f"mysql://{user}@{self.host}:{self.port}/{name}"

    def clear(self) -> None:
        """End all other connections and drop all databases, which are the server's and not a database's."""
        with self.connect() as connection:
            for (number,) in rows(
                connection,
                "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user <> 'system user'",
            ):
                with connection.cursor() as cursor:
                    try:
                        cursor.execute(f"KILL {number}")
                    except pymysql.err.OperationalError:  # it has ended by itself
                        continue
            listed = ", ".join(f"'{name}'" for name in SYSTEM)
            for (name,) in rows(
                connection,
                f"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ({listed})",
            ):
                rows(connection, f"DROP DATABASE {quoted(name)}")

    def log(self) -> str:
        return self.logfile.read_text(encoding="utf-8", errors="replace") if self.logfile.exists() else ""


def rows(
    connection: pymysql.connections.Connection[Any], statements: str, parameters: Any = None
) -> list[tuple[Any, ...]]:
    """Send statements; the rows of the last one."""
    with connection.cursor() as cursor:
        cursor.execute(statements, parameters)
        found = cursor.fetchall()
        while cursor.nextset():
            found = cursor.fetchall()
        return list(found)


def quoted(name: str) -> str:
    """A name in backticks."""
    return "`{}`".format(name.replace("`", "``"))
