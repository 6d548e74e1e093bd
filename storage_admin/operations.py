"""What we use of Alembic, imported without a word: it tells an application's log of each of its own parts."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MigrationContext", "Operations"]


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """What a logger is told meanwhile is not said. Its level, which is the application's, stays."""
    logger = logging.getLogger(name)

    def nothing(_record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


with _silent("alembic.runtime.plugins"):
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
