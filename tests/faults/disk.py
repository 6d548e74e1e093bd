"""A disk that is soon full."""

from __future__ import annotations

import os
import pwd
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers import private_folder, run_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """A folder on a file system of its own, of so many kilobytes, that the user of the servers owns."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    with private_folder() as folder:
        point = folder / "disk"
        point.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "storage-admin-test", str(point)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"mounting is refused here: {mounted.stderr.strip()}")
        try:
            user = pwd.getpwnam(run_as())
            os.chown(point, user.pw_uid, user.pw_gid)
            yield point
        finally:
            subprocess.run(["umount", "-l", str(point)], check=True)
