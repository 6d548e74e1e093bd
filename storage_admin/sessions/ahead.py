"""The next part is made ready while this one is on its way: one thread ahead, by a little."""

from __future__ import annotations

from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event, Semaphore, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Item = TypeVar("Item")
STUCK = 2  # seconds, after which a thread that reads from somebody who says nothing is left behind
PAUSE = 0.1  # seconds, after which it is looked whether there was Ctrl-C


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The same items. A thread gets the next one already, and no more; its errors are raised in their place."""
    waiting: Queue[Item | _End] = Queue()
    wanted, over = Semaphore(0), Event()

    def work() -> None:
        try:
            for item in items:
                waiting.put(item)
                wanted.acquire()
                if over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            waiting.put(_End(error))
        else:
            waiting.put(_End())

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield _taken(waiting, wanted)
    finally:
        over.set()
        wanted.release()
        thread.join(STUCK)


def _taken(waiting: Queue[Item | _End], wanted: Semaphore) -> Iterator[Item]:
    while True:
        try:
            item = waiting.get(timeout=PAUSE)  # so that Ctrl-C is heard
        except Empty:
            continue
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        wanted.release()
        yield item
