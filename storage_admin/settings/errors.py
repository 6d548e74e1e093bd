"""What is wrong with a file of settings, or with what was asked of it: a branch of the tree in errors.py."""

from __future__ import annotations

from storage_admin.errors import UsageError


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
