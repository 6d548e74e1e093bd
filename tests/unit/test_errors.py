from __future__ import annotations

import re

import pytest

from storage_admin import errors


def tree(cls: type[errors.StorageAdminError]) -> list[type[errors.StorageAdminError]]:
    return [cls, *(deeper for child in cls.__subclasses__() for deeper in tree(child))]


every_error = pytest.mark.parametrize("cls", tree(errors.StorageAdminError), ids=lambda cls: cls.__name__)


@every_error
def test_every_error_has_a_message_and_an_exit_code_of_the_contract(cls: type[errors.StorageAdminError]) -> None:
    assert cls.__doc__
    interrupted = (errors.Interrupted, errors.NotBegun)
    assert cls.exit_code in ((130,) if cls in interrupted else (1, 2, 3, 4, 5, 6, 64))


@every_error
def test_the_facts_of_an_error_are_in_its_message_and_are_its_attributes(cls: type[errors.StorageAdminError]) -> None:
    if cls in (errors.UpgradeFailed, errors.SomeLeftOut):  # they take a report
        return
    names = set(re.findall(r"{(\w+)(?:!r)?}", cls.__doc__ or ""))
    facts = {name: f"<{name}>" for name in names}
    error = cls(**facts)
    assert all(str(value) in str(error) for value in facts.values())
    assert all(getattr(error, name) == value for name, value in facts.items())
    assert "\n" not in str(error)


def test_a_failed_upgrade_ends_with_the_code_of_its_only_failure_and_else_with_6() -> None:
    class Report:
        outcomes: tuple[int, ...] = (1, 2)

    drift = errors.SchemaDrifted(table="a", drifts="x")
    lock = errors.LockNotObtained(table="b", waited="y", done="z")
    assert errors.UpgradeFailed([drift], Report).exit_code == 3
    assert errors.UpgradeFailed([drift, drift], Report).exit_code == 3
    assert errors.UpgradeFailed([drift, lock], Report).exit_code == 6
    plain = errors.StatementFailed(table="c", statement="s", problem="p", state=None, left="l", advice="")
    assert errors.UpgradeFailed([plain], Report).exit_code == 6
    Report.outcomes = (1,)
    assert errors.UpgradeFailed([plain], Report).exit_code == 1
