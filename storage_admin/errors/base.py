"""The root of the tree, and its first branch."""

from __future__ import annotations


class StorageAdminError(Exception):
    """storage-admin could not do what was asked."""

    exit_code: int = 1

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)
        template = " ".join((type(self).__doc__ or type(self).__name__).split())
        super().__init__(template.format_map(facts).strip())


class UsageError(StorageAdminError):
    """{problem}"""

    exit_code = 64
