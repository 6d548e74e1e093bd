"""Errors of the file of settings, and of what was asked of it."""

from __future__ import annotations

from storage_admin.errors.base import UsageError


class BadSettings(UsageError):
    """{file}: {problem}.{suggestion}"""


class NoSuchTarget(UsageError):
    """There is no target {target!r} in {file}.{suggestion} {known}"""


class TargetNeeded(UsageError):
    """{file} has several targets and no db-url. Name one with --target NAME, or take all with --all-targets where a
    command has it: {known}.
    """


class NoTargets(UsageError):
    """There are no targets to take: {reason}. Write [targets.NAME] with a db-url into storage-admin.toml;
    `storage-admin init` begins one.
    """
