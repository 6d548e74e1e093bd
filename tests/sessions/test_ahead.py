"""One part is made ready ahead, by a thread that ends when it is not wanted any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from storage_admin.sessions.ahead import ahead


def numbers(made: list[int], *, until: int | None = None) -> Iterator[int]:
    for number in count():
        if number == until:
            raise ValueError(number)
        made.append(number)
        yield number


def test_what_is_not_taken_is_not_made_but_for_one() -> None:
    made: list[int] = []
    before = threading.active_count()
    with ahead(numbers(made)) as found:
        assert [next(found), next(found)] == [0, 1]
    assert threading.active_count() == before
    assert made in ([0, 1], [0, 1, 2])


def test_an_error_comes_in_its_place() -> None:
    with ahead(numbers([], until=2)) as found:
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(ValueError, match="2"):
            next(found)
