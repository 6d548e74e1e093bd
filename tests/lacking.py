"""What a machine may lack: a test without it is skipped with a reason, but never in CI."""

from __future__ import annotations

import os

import pytest


def needed(found: str | None, reason: str) -> str:
    """What was found; where that is nothing, skip the test, or fail in CI."""
    if found is not None:
        return found
    if os.environ.get("CI"):
        raise RuntimeError(reason)
    pytest.skip(reason)
